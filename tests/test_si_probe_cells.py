"""Space Invaders probes: pixel counts against a slow reference, masks, splits per target, a negative control."""

import numpy as np
import pytest

import si_labels
import si_probe_cells
from atari_play import Buffer, RandomPolicy, game_rngs, record_game
from resu_conv import ReSUEncoder

NAMES = list(si_probe_cells.TARGETS)


def buffer_of(frames, ram, starts=(0,)):
    n = len(frames)
    nothing = np.zeros(n, np.uint8)
    return Buffer(frames, ram, nothing, nothing, np.zeros(n, np.float32), np.array(starts, np.int64))


def memory(formation: int, rows: int, bullet: int = 246) -> np.ndarray:
    """(128,) uint8: byte 16 of the formation, the rows (bit mask) that hold one alien, our bullet."""
    ram = np.zeros(128, np.uint8)
    ram[16], ram[[81, 82]], ram[85], ram[30] = formation, 246, bullet, 180
    for row in range(6):
        ram[23 - row] = rows >> row & 1
        ram[17] += ram[23 - row]
    return ram


@pytest.fixture(scope="module")
def played():
    """6 games of 250 steps of random play, as one buffer."""
    rngs = game_rngs(50_200)
    options = {"game": "space_invaders"}
    games = [record_game(RandomPolicy(), next(rngs), options, None, 250) for _ in range(6)]
    frames, ram = (np.concatenate([getattr(game, name) for game in games]) for name in ("frames", "ram"))
    return buffer_of(frames, ram, np.cumsum([0, *(len(game.actions) for game in games[:-1])]))


def test_counts_on_hand_made_frames():
    """Formation at screen rows 31 to 131: observed rows 12 to 52. One lit pixel in each of some rows."""
    frames = np.zeros((4, 84, 84), np.uint8)
    for row, count in ((6, 9), (8, 1), (12, 3), (52, 2), (53, 4), (62, 5), (69, 5), (73, 1), (74, 7), (80, 84)):
        frames[:, row, :count] = 1
    # all six rows; the lowest two gone (drawn still); the same a step on; then the formation 10 lower, now or before
    ram = np.stack([memory(0, 0b111111), memory(0, 0b001111), memory(0, 0b001111), memory(5, 0b001111)])
    truth, usable = si_probe_cells.targets(buffer_of(frames, ram))
    alive, free = (truth[:, NAMES.index(name)] for name in ("alive pixels", "bullet pixels"))
    assert alive.tolist() == [5, 5, 3, 3]  # rows 12 to 52, 12 to 52, 12 to 37, 12 to 41
    assert free.tolist() == [1 + 4 + 1, 1 + 4 + 1, 1 + 2 + 4 + 1, 1 + 2 + 4 + 1]
    cut, _ = si_probe_cells.targets(buffer_of(frames, ram, (0, 1)))  # a game that begins at step 1 has no step before
    assert cut[1, NAMES.index("alive pixels")] == 3
    empty, _ = si_probe_cells.targets(buffer_of(frames[:1], memory(0, 0)[None]))
    assert empty[0, NAMES.index("alive pixels")] == 0 and empty[0, NAMES.index("alive")] == 0
    assert usable[:, :-1].all() and not usable[:, -1].any()


def test_counts_equal_a_slow_reference(played):
    truth, _ = si_probe_cells.targets(played)
    objects = si_labels.from_ram(played.ram)
    aliens = si_labels.aliens_from_ram(played.ram)
    begins = played.begins()
    for t in range(0, len(played), 37):
        covered = []
        for s in {t, max(t - 1, begins[t])}:
            rows = np.flatnonzero(aliens[s].any(1))
            top = objects.formation_y[s] + 18 * rows[0]
            covered += [(top, top + 18 * (rows[-1] - rows[0]) + 10)]
        low, high = min(a for a, _ in covered), max(b for _, b in covered)
        expected = {"alive pixels": 0, "bullet pixels": 0}
        for y in range(84):
            n_lit = sum(int(value > 0) for value in played.frames[t, y])
            within = [2.5 * y < b and 2.5 * (y + 1) > a for a, b in ((low, high), (157, 175), (20, 185))]
            expected["alive pixels"] += n_lit * within[0]
            expected["bullet pixels"] += n_lit * (within[2] and not within[0] and not within[1])
        for name, value in expected.items():
            assert truth[t, NAMES.index(name)] == value


def test_free_rows_are_lit_by_bullets_alone(played):
    truth, _ = si_probe_cells.targets(played)
    flying, lit = (truth[:, NAMES.index(name)] for name in ("bullets in flight", "bullet pixels"))
    none = flying == 0
    assert none.sum() > 100 and (lit[none] == 0).mean() > 0.98
    free = si_probe_cells.free_rows(si_probe_cells.formation_rows(played))
    objects = si_labels.from_ram(played.ram)
    surely = np.zeros(len(played), bool)  # a bullet whose rows are free from two above to four below
    for y in (objects.bullet_y, *objects.enemy_bullet_y.T):
        row = np.where((y >= 20) & (y < 185), y / 2.5, 0).astype(int)
        surely |= (row > 2) & np.all([free[np.arange(len(free)), row + d] for d in range(-2, 5)], axis=0)
    assert 0.1 < surely.mean() < 0.9 and (lit[surely] > 0).mean() > 0.98


def test_targets_exist_where_the_mask_says(played):
    truth, usable = si_probe_cells.targets(played)
    assert truth.shape == usable.shape == (len(played), len(si_probe_cells.TARGETS))
    assert (np.isfinite(truth) == usable).all() and usable[:, :-1].all()
    y = si_labels.from_ram(played.ram).bullet_y
    bullet = usable[:, NAMES.index("our bullet y")]
    assert 0.3 < bullet.mean() < 0.9 and (bullet == ((y >= 20) & (y < 185))).all()
    assert np.isfinite(y[~bullet]).any()  # beyond the screen the memory's counter runs on


def test_every_target_has_its_own_samples(played):
    _, usable = si_probe_cells.targets(played)
    pieces = si_probe_cells.parts(played.episodes(), usable, 0, 1)
    assert sorted(np.concatenate([columns for columns, _ in pieces]).tolist()) == list(range(len(NAMES)))
    assert len(pieces) == 2
    for columns, split in pieces:
        chosen = np.concatenate([split.train, split.validation, split.test])
        for q in columns:
            assert len(chosen) == usable[:, q].sum() and usable[chosen, q].all()
    smaller, larger = sorted((split for _, split in pieces), key=lambda split: len(split.test))
    assert set(smaller.test) < set(larger.test)  # of the same episodes


def test_layers_lie_side_by_side():
    frames = [np.random.default_rng(i).integers(0, 255, (n, 12, 10), dtype=np.uint8) for i, n in enumerate((40, 30))]
    encoder = ReSUEncoder(grid=(2, 2), n_layers=3).fit(frames)
    stack = si_probe_cells.encode_stack(encoder, frames)
    for layers in ((1,), (3,), (1, 2), (1, 2, 3)):
        expected = np.concatenate(encoder.encode_layers(frames[1], layers), axis=1)
        np.testing.assert_array_equal(stack[40:, si_probe_cells.columns_of(encoder, layers)], expected)


def test_controls_are_as_wide_as_the_stacks():
    wide = [code for code in si_probe_cells.CODES.values() if code.group == "wide"]
    widths = [2 * 4 * np.prod(code.grid((16, 8))) for code in wide]
    assert widths == [1024 + 2048, 1024 + 2 * 2048]


def test_truth_of_another_moment_is_probed_worse(played):
    """Negative control: what lies 2 s ahead cannot be read off as well."""
    truth, usable = si_probe_cells.targets(played)
    later = played.shifted(truth, 30)
    features = si_probe_cells.encode_stack(
        ReSUEncoder(grid=(8, 4)).fit(played.episode_frames()), played.episode_frames()
    )
    both = usable & np.isfinite(later)
    pieces = si_probe_cells.parts(played.episodes(), both, 0, 1)
    now, ahead = (si_probe_cells.probe_parts(features, values, pieces)[:, 0] for values in (truth, later))
    for name in ("bullet pixels", "bullets in flight", "our bullet y"):
        assert now[NAMES.index(name)] > ahead[NAMES.index(name)] + 0.2, (name, now, ahead)
