"""Stage 3: does it help to inject the agent's actions into layer 1's past?

Claim      No: the action is the same number in every pixel and is crushed. The paddle 4 steps on is read no better
           off an action-conditioned layer 1 than off the plain one, though actions beside raw pixels or beside the
           pooled code help.
Falsified  if the 95 % interval over seeds of the R2 gain of the conditioned layer 1 over the plain one lies above
           +.02; equivalent if it lies within +-.02.
Original   raw(t,t-1) .733, raw + actions .822, L1 .651, action-conditioned L1 .660 (one seed)
Reads      data/pong_random_s*          Writes  results/probe_pong_action.{npz,json,log,png}
Run        python src/probe_pong_action.py            (8 min on 2 cores, 5 seeds)
           python src/probe_pong_action.py --smoke    (20 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import figures
import probes
import stats_ci
from atari_play import Buffer, random_play
from heads import Scaling
from pong_probe_cells import STRIDE, TARGETS, targets
from resu_conv import ReSUEncoder
from resu_conv_action import ActionReSUEncoder
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run

N_ACTIONS = 6  # Pong's minimal set
MEMORY = 8  # past actions that are given, as many as layer 1 sees frames
WEIGHT = 10.0  # of a standardised action feature beside one feature of the code, so that the ridge hardly shrinks it
QUIET = 0.2  # a cell is quiet whose features deviate by less than this share of the median cell's
MARGIN = 0.02  # R2 within which two codes count as equivalent
NAMES = ("paddle y[t]", "paddle y[t+4]")
ORIGINAL = {"raw(t,t-1)": 0.733, "raw(t,t-1) + actions": 0.822, "L1": 0.651, "L1 on actions": 0.660}
# Codes that are measured together. "+ actions" stand beside the code, "on actions" in layer 1's past; "now" includes
# the action about to be taken; "other actions" are drawn anew, a control; "quiet cells" are those in which
# plain layer 1 hardly moves.
GROUPS = {
    "raw": ("raw(t,t-1)", "raw(t,t-1) + actions", "raw(t,t-1) + actions now"),
    "beside": ("L1", "L1 + actions", "L1 + actions now", "L1 + other actions"),
    "inside": ("L1 on actions", "L1 on actions now", "L1 on other actions"),
    "quiet": ("L1, quiet cells", "L1 on actions, quiet cells"),
}
CODES = tuple(code for codes in GROUPS.values() for code in codes)
CONTRASTS = (
    ("raw(t,t-1) + actions", "raw(t,t-1)"),
    ("raw(t,t-1) + actions now", "raw(t,t-1) + actions"),
    ("L1 + actions", "L1"),
    ("L1 + actions now", "L1 + actions"),
    ("L1 + other actions", "L1"),
    ("L1 on actions", "L1"),
    ("L1 on actions", "L1 on other actions"),
    ("L1 on actions now", "L1 on actions"),
    ("L1 + actions", "L1 on actions"),
    ("L1 on actions, quiet cells", "L1, quiet cells"),
)


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own frames, own fit, own probe
    n_frames: int = 60_000  # per seed [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 4000}


def history(buffer: Buffer, actions: np.ndarray, now: bool) -> np.ndarray:
    """One-hot actions (T, lags * N_ACTIONS) float32 of the last MEMORY steps, and of this one if `now`; 0 before the
    game began."""
    one_hot = np.eye(N_ACTIONS, dtype=np.float32)[actions]
    lags = range(0 if now else 1, MEMORY + 1)
    return np.concatenate([np.nan_to_num(buffer.shifted(one_hot, -lag)) for lag in lags], axis=1).astype(np.float32)


def measure(run: LegacyRun, group: str, seed: int) -> dict[str, Any]:
    """One cell: the codes of a group on one seed's frames, probed on every third one."""
    buffer = random_play(run.data, "pong", run.config.n_frames, seed)
    truth, usable = targets(buffer)
    truth = truth[:, [TARGETS[name][0][0] for name in NAMES]]
    split = probes.split_by_episode(buffer.episodes(), seed, usable, STRIDE)
    drawn = np.random.default_rng([seed, 3]).integers(N_ACTIONS, size=len(buffer))  # have nothing to do with the game
    result: dict[str, Any] = {"n": [len(split.train), len(split.test)]}

    def extra(actions: np.ndarray, now: bool) -> np.ndarray:
        features = history(buffer, actions, now)
        scaling = Scaling.fit(features, split.train)
        return (features - scaling.mean) * (scaling.factor * WEIGHT)

    if group == "raw":
        extras = [None, extra(buffer.actions, False), extra(buffer.actions, True)]
        found = probes.probe_lagged_frames(buffer.frames, truth, split, (2,), buffer.begins(), extras)[0]
    elif group == "beside":
        plain = ReSUEncoder().fit(buffer.episode_frames())
        features = np.concatenate([plain.encode(frames) for frames in buffer.episode_frames()])
        scaling = Scaling.fit(features, split.train)
        features = (features - scaling.mean) * scaling.factor
        beside = [extra(buffer.actions, False), extra(buffer.actions, True), extra(drawn, False)]
        found = [probes.probe(features, truth, split)]
        found += [probes.probe(np.concatenate([features, more], axis=1), truth, split, scale=False) for more in beside]
    elif group == "quiet":
        plain = ReSUEncoder().fit(buffer.episode_frames())
        codes = [plain.encode(frames) for frames in buffer.episode_frames()], _on_actions(buffer, buffer.actions)[0]
        pair = [np.concatenate(code) for code in codes]
        moving = pair[0][split.train].std(axis=0).reshape(2 * plain.n_units, -1).max(axis=0)  # by cell
        quiet = moving < QUIET * np.median(moving)
        result["n_quiet"] = int(quiet.sum())
        if not quiet.any():
            raise ValueError("no cell of these games is quiet: collect more of them")
        columns = np.tile(quiet, 2 * plain.n_units)
        found = [probes.probe(code[:, columns], truth, split) for code in pair]
    else:
        found = []
        for code, actions, now in (
            (GROUPS[group][0], buffer.actions, False),
            (GROUPS[group][1], buffer.actions, True),
            (GROUPS[group][2], drawn, False),
        ):
            both, encoder = _on_actions(buffer, actions, now)
            found.append(probes.probe(np.concatenate(both), truth, split))
            result[f"share, {code}"] = encoder.action_share_
            result[f"correlations, {code}"] = encoder.correlations_
    result["r2"] = {code: probed.score for code, probed in zip(GROUPS[group], found, strict=True)}
    run.log(f"seed {seed}, {group}: { {code: np.round(r2, 3).tolist() for code, r2 in result['r2'].items()} }")
    return result


def _on_actions(buffer: Buffer, actions: np.ndarray, now: bool = False) -> tuple[list[np.ndarray], ActionReSUEncoder]:
    """Features of each game from layer 1 on these actions, and the encoder."""
    games = [(buffer.frames[game], actions[game]) for game in buffer.episodes()]
    long = [game for game in games if len(game[0]) > 2 * MEMORY]
    encoder = ActionReSUEncoder(N_ACTIONS, include_current=now).fit(*map(list, zip(*long, strict=True)))
    return [encoder.encode(*game) for game in games], encoder


def main(argv: list[str] | None = None) -> None:
    """All cells, then the table, the verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames")
    run = start_run(__file__, config)
    c = run.config
    cells = {
        group: [
            run.cell(partial(measure, run, group, seed), group=group, seed=seed, n_frames=c.n_frames)
            for seed in range(c.seeds)
        ]
        for group in GROUPS
    }  # fmt: skip
    r2 = {code: np.array([cell["r2"][code] for cell in cells[group]]) for group in GROUPS for code in GROUPS[group]}

    def estimate(values: np.ndarray) -> stats_ci.Estimate:
        return stats_ci.estimate(values, np.random.default_rng(0))

    estimates = {name: [estimate(r2[code][:, i]) for code in CODES] for i, name in enumerate(NAMES)}
    table = []
    for k, code in enumerate(CODES):
        row = {"code": code} | {f"R2, {name}": str(estimates[name][k]) for name in NAMES}
        row["original, y[t+4]"] = f"{ORIGINAL[code]:.3f}" if code in ORIGINAL else ""
        shares = [cell[f"share, {code}"] for cell in cells["inside"] if f"share, {code}" in cell]
        row["actions' share of each unit's variance"] = (
            " ".join(f"{x:.1e}" for x in np.mean(shares, 0)) if shares else ""
        )
        table.append(row)
    verdicts = []
    for code, other in CONTRASTS:
        gain = estimate(r2[code][:, 1] - r2[other][:, 1])
        verdicts.append({
            "claim": f"paddle y[t+4]: {code} above {other}", "R2 gain": str(gain),
            "verdict": stats_ci.verdict_positive(gain),
        })  # fmt: skip
    gain = estimate(r2["L1 on actions"][:, 1] - r2["L1"][:, 1])
    verdicts.append({
        "claim": f"paddle y[t+4]: L1 on actions equivalent to L1 (within {MARGIN})", "R2 gain": str(gain),
        "verdict": stats_ci.verdict_equivalent(gain, MARGIN),
    })  # fmt: skip
    drawn = [code for code in CODES if code not in GROUPS["quiet"]]  # near 0: they would squeeze all others
    figure = figures.dots_by_panel(
        {name: estimates[name][: len(drawn)] for name in NAMES},
        drawn,
        {NAMES[1]: ORIGINAL},
        f"Our paddle in Pong, random play, {c.n_frames:,} frames per seed, with and without actions",
        f"R2 on test episodes; mean and 95 % interval over {c.seeds} seeds; o: the original (1 seed)",
    )
    n_quiet = sorted({cell["n_quiet"] for cell in cells["quiet"]})
    plain, on_actions = (estimate(r2[code][:, 1]) for code in GROUPS["quiet"])
    notes = [
        "All probes are fitted on every third frame, as those of raw pixels are.",
        "One way in which the action gets through although each response hardly depends on it: in quiet cells "
        f"({n_quiet[0]} to {n_quiet[-1]} of 128) little else moves the code, and a linear probe can scale it up again. "
        f"From these cells alone paddle y[t+4] is read with R2 {plain} off plain layer 1 and {on_actions} off layer 1 "
        "on actions.",
    ]
    run.finish(table, verdicts, figure, notes, **{code.replace(" ", "_"): r2[code] for code in CODES})


if __name__ == "__main__":
    guard(main)
