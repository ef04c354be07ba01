"""A policy in a game that changes under it: what it sees, how it follows, what a teacher gives it, how it is judged."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import atari_play
import live_adaptation
import live_cells
import live_eyes
import live_imitation_cells
import live_networks
from cloning import Clone
from convnet import N_FRAMES
from dense_head import DenseHead
from encoders import fitted
from game_shifts import Shift
from live_adaptation import AT_HOME, FROZEN, GRID, LEARNED, NETWORK, ORACLE, OURS, RANDOM, RANDOM_OURS, REFIT, STREAM
from live_cells import Arm, World
from live_eyes import FOLLOWS, SEEN, Adaptation, Eye, LiveClone, Memory, Statistics
from players import TASKS
from resu_conv import ReSUEncoder
from resu_streaming import StreamingReSU
from ridge_sums import RidgeSums

NAMES = ("LEFT", "RIGHT")


def scene(n=400, seed=0) -> np.ndarray:
    """Two grey bands; a block that walks about on one of them, left or right of the middle."""
    rng = np.random.default_rng(seed)
    frames = np.full((n, 16, 20), 90, np.uint8)
    frames[:, :4] = 210
    x = 8
    for t in range(n):
        x = int(np.clip(x + rng.integers(-2, 3), 0, 17))
        frames[t, 8:12, x : x + 3] = 160
    return frames


def side(frames: np.ndarray) -> np.ndarray:
    """(T,) 1 where the block is on the right."""
    return (np.argmax(frames[:, 9] == 160, axis=1) >= 9).astype(int)


@pytest.fixture(scope="module")
def home() -> tuple[Clone, Memory, np.ndarray]:
    """A clone that tells the block's side, linearly, and what it remembers."""
    frames = scene(3000, seed=1)
    encoder = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(4, 5)).fit([frames])
    x = encoder.encode(frames)
    head = RidgeSums(encoder.n_features, 2).add(x, side(frames)).head(1e-3)
    clone = Clone(encoder, head, NAMES)
    return clone, Memory.of(clone, frames, x, 1000, 200, 0), frames


def answers(live: LiveClone, frames: np.ndarray) -> np.ndarray:
    return np.array([live.act(frame, i == 0) for i, frame in enumerate(frames)])


def right(home, follows, shift: Shift | None, n=400, start=150) -> float:
    """Share of right answers after the start."""
    clone, memory, _ = home
    frames = scene(n, seed=2)
    seen = frames if shift is None else shift.apply(frames)
    return float(np.mean(answers(LiveClone(clone, follows, memory, 50, 0), seen)[start:] == side(frames)[start:]))


# --- seeing and following ---


def test_a_clone_that_follows_nothing_is_the_clone(home):
    clone, memory, _ = home
    frames = scene(60)
    found = answers(LiveClone(clone, "nothing", memory, 50, 0), frames)
    clone.start(np.random.default_rng(0), NAMES)
    assert found.tolist() == [clone.act(frame, np.zeros(128, np.uint8)) for frame in frames]


@pytest.mark.parametrize("follows", FOLLOWS)
def test_following_costs_little_where_nothing_changes(home, follows):
    assert right(home, "nothing", None) > 0.9
    assert right(home, follows, None) > 0.8


@pytest.mark.parametrize("name", ["inversion", "offset", "contrast", "palette drift", "flicker"])
def test_a_tone_map_takes_back_the_grey_scale(home, name):
    shift = Shift(name, seed=1)
    assert right(home, "tone", shift) > 0.9
    assert right(home, "nothing", shift) < right(home, "tone", shift), "negative control"


def test_photometric_filters_take_back_a_line(home):
    assert right(home, "photometric", Shift("inversion")) > 0.9 > right(home, "nothing", Shift("inversion"))


@pytest.mark.parametrize("follows", ["tone, Wiener", "tone, rehearsal"])
def test_a_noisy_game_is_read_through_its_noise(home, follows):
    """The Wiener estimate is linear here, as the head is; a rehearsal is an MLP."""
    clone, memory, _ = home
    noise = Shift("noise", 0.6, seed=5)
    live = LiveClone(clone, follows, memory, 50, 0)
    frames = scene(400, seed=2)
    found = answers(live, noise.apply(frames))
    assert live.noise == pytest.approx((31**2 - 1) / 12, rel=0.15)
    before, after = (np.mean(found[a:b] == side(frames)[a:b]) for a, b in ((0, SEEN), (SEEN + 1, 400)))
    assert after > max(before, 0.75)
    quiet = LiveClone(clone, follows, memory, 50, 0)
    answers(quiet, frames)
    assert quiet.noise == 0.0


def test_statistics_take_back_what_became_of_each_feature():
    """Exactly: features that became a x + b per feature are read as they were, once mean and deviation are theirs."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, (5000, 6)).astype(np.float32)
    head = DenseHead([rng.standard_normal((3, 6)).astype(np.float32)], [np.zeros(3, np.float32)])
    follower = Statistics(Memory(np.zeros((2, 2)), x, np.zeros(5000, int)), head, 5000)
    gain, offset = rng.uniform(0.5, 3, 6).astype(np.float32), rng.normal(0, 5, 6).astype(np.float32)
    moved = gain * x + offset
    found = [follower.look(row) for row in moved]
    assert found[:-1] == [None] * 4999
    assert np.allclose(found[-1].logits(moved[:100]), head.logits(x[:100]), atol=1e-3)
    assert not np.allclose(head.logits(moved[:100]), head.logits(x[:100]), atol=1.0), "negative control"


@pytest.mark.parametrize(("mode", "alpha"), [("full", 1.0), ("stream", live_eyes.ALPHA)])
def test_refits_are_those_of_a_stream(mode, alpha):
    encoder, frames = fitted(n_frames=120)
    adaptation = Adaptation(mode, 40, encoder)
    found = [adaptation.look(frame, i in (0, 50)) for i, frame in enumerate(frames)]
    assert [i for i, one in enumerate(found) if one is not None] == [39, 79, 119]
    stream = StreamingReSU.from_encoder(encoder, alpha) if mode == "stream" else StreamingReSU(**encoder.options)
    for begin, starts in ((0, [0]), (40, [10]), (80, [])):
        stream.update(frames[begin : begin + 40], starts=starts)
    assert np.array_equal(found[-1].filters_, stream.refit().filters_)
    with pytest.raises(ValueError, match="mode must be 'photometric' or 'full' or 'stream'"):
        Adaptation("off", 40, encoder)


def test_an_eye_starts_anew_with_a_game():
    encoder, frames = fitted()
    eye = Eye(encoder)
    for i, frame in enumerate(frames[:40]):
        eye.look(frame, i in (0, 25))
    assert np.array_equal(eye.features, encoder.encode(frames[25:40])[-1])


def test_a_memory_is_drawn_from_what_the_head_read(home):
    clone, memory, frames = home
    x = clone.code.encode(frames)
    assert memory.features.shape == (1000, x.shape[1])
    assert {row.tobytes() for row in memory.features} <= {row.tobytes() for row in x}
    assert np.array_equal(memory.classes, clone.head.predict(memory.features))
    assert np.array_equal(memory.picture, np.median(frames[:200], axis=0))


# --- networks ---


def frames_84(n=24, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 84, 84), np.uint8)


@pytest.fixture(scope="module")
def network() -> live_networks.AdaptiveNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return live_networks.AdaptiveNet(2).eval()


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def lived(network, follows, frames, clock=8):
    picture = np.repeat(np.repeat(np.array([[50.0, 200.0]]), 42, axis=1), 84, axis=0)
    live = live_networks.LiveNet(network, NAMES, follows, picture, clock)
    return live, [live.act(frame, i == 0) for i, frame in enumerate(frames)]


def test_a_network_that_follows_nothing_keeps_its_weights_and_sees_four_frames(network):
    frames = frames_84()
    live, found = lived(network, "nothing", frames)
    for name, value in weights(network).items():
        assert torch.equal(live._model.state_dict()[name], value), name
    for t in (0, 2, 20):
        stack = np.stack([frames[max(t - j, 0)] for j in range(N_FRAMES)])
        with torch.inference_mode():
            assert found[t] == int(network(torch.from_numpy(stack[None]).float() / 255).argmax())


def test_statistics_become_those_of_what_was_seen_alone(network):
    frames = frames_84()
    live, _ = lived(network, "statistics", frames, clock=12)
    first = next(layer for layer in live._model.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    past = np.maximum(np.arange(24)[:, None] - np.arange(N_FRAMES), 0)
    with torch.inference_mode():
        seen = network.trunk[0](torch.from_numpy(frames[past]).float() / 255 - network.mean)
    assert torch.allclose(first.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert not torch.allclose(first.running_mean, torch.zeros(32), atol=1e-3)
    for name, value in network.named_parameters():
        assert torch.equal(dict(live._model.named_parameters())[name], value), "weights stay"


def test_gradient_steps_move_the_trunk_alone_and_learn_which_action_was_done(network):
    live, _ = lived(network, "inverse dynamics", frames_84(n=40))
    before, after = weights(network), live._model.state_dict()
    assert not torch.equal(before["trunk.0.weight"], after["trunk.0.weight"])
    for name in ("last.weight", "inverse.weight"):
        assert torch.equal(before[name], after[name])
    before_, actions_, after_ = zip(*live._moves, strict=True)
    assert len(actions_) == live_networks.KEPT
    sides, actions = (torch.cat(before_), torch.cat(after_)), torch.tensor(actions_)
    with torch.inference_mode():
        losses = [torch.nn.functional.cross_entropy(model.told(*sides), actions) for model in (network, live._model)]
    assert losses[1] < losses[0]


def test_a_network_learns_what_to_do_and_what_was_done():
    rng = np.random.default_rng(0)
    n = 360
    classes = rng.integers(0, 2, n)
    frames = np.full((n, 84, 84), 60, np.uint8)
    for t, c in enumerate(classes):
        frames[t, 30:50, 10 + 40 * c : 30 + 40 * c] = 200
    empty = np.zeros(n, np.uint8)
    rams, rewards = np.zeros((n, 128), np.uint8), np.zeros(n, np.float32)
    buffer = atari_play.Buffer(frames, rams, empty, empty, rewards, np.arange(0, n, 90))
    model = live_networks.fit(buffer, classes, 2, 0, np.arange(300), 12)
    _, found = lived(model, "nothing", frames[300:])
    assert np.mean(np.array(found) == classes[300:]) > 0.9
    again = live_networks.fit(buffer, classes, 2, 0, np.arange(300), 12)
    assert model.to_bytes() == again.to_bytes(), "the same seed, the same bytes"


# --- playing ---


def test_steps_are_those_of_games_in_a_row():
    """As `atari_play.play` plays them: the same frames, ends and points, one game after the other."""
    env = atari_play.environment(game="pong", sticky=0.25, max_steps=120)
    seen, points = [], []
    for step in live_cells.steps(env, None, 3, 300):
        seen.append((step.fresh, step.frame.copy()))
        points.append(step.do(int(step.frame[40, 40]) % 6))

    class Same:
        def start(self, rng, names): ...

        def act(self, frame, ram):
            return int(frame[40, 40]) % 6

    games = atari_play.play(Same(), 2, (3, atari_play.EVALUATION), "pong", max_steps=120)
    assert [i for i, (fresh, _) in enumerate(seen) if fresh] == [0, 120, 240]
    assert [sum(points[:120]), sum(points[120:240])] == [game.score for game in games]


def test_a_shift_has_a_clock_of_its_own_and_memory_is_not_disturbed():
    env = atari_play.environment(game="pong", sticky=0.0, max_steps=20)
    shift = Shift("flicker")
    plain, seen = [], []
    for kept, disturbance in ((plain, None), (seen, shift)):
        for step in live_cells.steps(env, disturbance, 0, 30):
            kept.append((step.frame.copy(), step.ram.copy()))
            step.do(0)
    for t, ((frame, ram), (disturbed, same)) in enumerate(zip(plain, seen, strict=True)):
        assert np.array_equal(disturbed, shift.apply(frame, t)) and np.array_equal(ram, same)


def test_points_are_counted_in_bins():
    assert live_cells.binned([1.0] * 250 + [0.0] * 250 + [2.0] * 50) == [1000.0, 0.0, 2000.0]


def test_an_oracle_is_trained_on_other_noise_than_it_plays_in():
    noise, drift = World("pong", "noise"), World("pong", "palette drift")
    frame = np.full((9, 9), 100, np.uint8)
    assert not np.array_equal(noise.disturbance(1).apply(frame), noise.disturbance(1, drawn=1).apply(frame))
    assert np.array_equal(drift.disturbance(1).apply(frame, 99), drift.disturbance(1, drawn=1).apply(frame, 99))
    assert World("pong").disturbance(0) is None and World("pong", mode=1).variant == {"mode": 1}


# --- a teacher ---


@pytest.mark.parametrize("refits", [False, True])
def test_a_head_taught_during_play_is_that_of_all_labels_at_once(refits):
    frames = scene(1000, seed=4)
    encoder = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(4, 5)).fit([scene(300, seed=5)])
    learner = live_imitation_cells.Learner(encoder, refits, "ridge", 2, 0)
    said = side(frames)
    found = np.array([learner.act(frame, i in (0, 700), said[i]) for i, frame in enumerate(frames)])
    games = [frames[:700], frames[700:]]
    code = ReSUEncoder(**encoder.options).fit(games) if refits else encoder
    assert np.array_equal(learner.eye.encoder.filters_, code.filters_)
    x = np.concatenate([code.encode(game) for game in games])
    head = RidgeSums(code.n_features, 2).add(x, said).head(live_imitation_cells.STRENGTH)
    assert np.allclose(learner._sums.head(live_imitation_cells.STRENGTH).weights[0], head.weights[0], atol=1e-5)
    assert 0.35 < np.mean(found[:499] == said[:499]) < 0.65, "at random at first"
    assert np.mean(found[499:] == said[499:]) > 0.9


# --- judging ---


def planted(points: dict[Arm, float], worlds=None) -> live_adaptation.Found:
    rng = np.random.default_rng(0)

    def cells(mean, n=6):
        return [{"points": (mean + rng.normal(0, 0.05, 12)).tolist(), "micros": 1.0, "noise": 0.0} for _ in range(n)]

    usual = {FROZEN: -27.0, RANDOM: -27.0, NETWORK: -27.0, ORACLE: -4.0, AT_HOME: -4.0, OURS: -4.2, RANDOM_OURS: -8.0}
    usual |= points
    played = {
        world: {arm: cells(-4.0 if world == World("pong") and arm != REFIT else usual.get(arm, -26.0)) for arm in arms}
        for world, arms in GRID.items()
    }
    learned = {}
    for home, world, code, head in LEARNED:
        setting = live_imitation_cells.Setting(home, world, code, head, 0, 5000, SimpleNamespace())
        learned[setting.label] = cells({"home's filters": 1.0, "refitted": 3.0, "random filters": 0.0}[code])
    return live_adaptation.Found(played, learned)


def words(found: live_adaptation.Found) -> dict[str, str]:
    report = live_adaptation.report(live_adaptation.Config(), found)
    assert report.figures.keys() == {"", "__learned"} and all(row["world"] for row in report.rows)
    return {verdict.id: verdict.verdict for verdict in report.verdicts}


def test_what_comes_back_is_judged_against_the_oracle():
    found = words(planted({}))
    assert {found[f"back: {world.label}"] for world in live_adaptation.PONG} == {"supported"}
    assert found["back: ReSU, full"] == "refuted" and found["filters under noise"] == "equivalent"
    assert found["refit at rest"] == "supported" and found["nothing to follow"] == "equivalent"
    assert found["ReSU, random"] == "supported" and found["tone for networks"] != "equivalent"
    assert found["taught: Breakout: undisturbed, refitted, MLP"] == "supported"
    assert found["taught: Breakout: undisturbed, random filters, MLP"] == "refuted"
    assert found[f"stream: {live_adaptation.VARIANTS[0].label}"] != "refuted"
    worse = words(planted({OURS: -12.0, STREAM: -20.0}))
    assert {worse[f"back: {world.label}"] for world in live_adaptation.PONG} == {"refuted"}
    assert worse[f"stream: {live_adaptation.VARIANTS[0].label}"] == "supported"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net_seeds": 11}, "--net-seeds must be at most --seeds 10, not 11"),
        ({"settled": 100}, "--settled must be a multiple of 250 below --steps 3000, not 100"),
        ({"settled": 3000}, "--settled must be a multiple of 250 below --steps 3000, not 3000"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_options_that_measure_nothing_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        live_adaptation.check(replace(live_adaptation.Config(), **change))


def test_every_arm_and_world_is_called_by_a_name_of_its_own():
    assert len({world.label for world in GRID}) == len(GRID)
    assert len({arm.label for arms in GRID.values() for arm in arms}) == len(
        {arm for arms in GRID.values() for arm in arms}
    )
    assert {world.game for world in GRID} <= TASKS.keys()
