"""Stage 13: how much of the game's state does a linear probe read off a closed-form code of one frame?

Claim      AtariARI (Anand et al. 2019), 22 games, 256 numbers, one linear probe. 1 (primary). Past-future directions
           of the frame's principal components are above ST-DIM, which is trained for hours. 2. ReSU's layer 1 below
           them is above random filters. 3. Predictive directions are above the components. 4. The components alone, a
           control, are no worse than ST-DIM: then the benchmark measures resolution. 5. A fit takes less than 60 s.
Falsified  by a 95 % t interval over games (paired) wholly on the other side; 5 by one game that takes longer
Original   nothing: it did not use this benchmark
Reads      nothing: games are played in the cells     Writes  results/probe_atariari.{npz,json,log,png}
Run        python src/probe_atariari.py            (2 h on 2 cores, by the plan's sum; 5 GB of memory a core)
           python src/probe_atariari.py --smoke    (20 s, proves nothing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import ari_cells
import atari_ari
import figures
import stats_ci
from ari_cells import ARMS, BOTH, COARSE, FRAME, FRAME_PCA, MAJORITY, OFTEN, RANDOM, RESU, RESU_PCA, Setting
from atari_ari import CATEGORIES, PUBLISHED, label_of
from figures_rows import Panel, Rows
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Estimate, Verdict

LOOKED_AT = (  # while codes were made, on other play: PLAN.md's log
    "pong", "ms_pacman", "boxing", "seaquest", "breakout", "montezuma_revenge", "video_pinball", "tennis",
)  # fmt: skip
CODES = (*ARMS, MAJORITY)
ST_DIM, SUPERVISED = "ST-DIM", "supervised"
MARGIN = 0.02  # F1 within which a code counts as no worse, and majorities as equal
LONGEST = 60.0  # of a fit [s]
BESIDES = (  # what explains the claims: code, above another
    ("resolution", FRAME, COARSE),
    ("layer 1 and its memory", RESU, COARSE),
    ("layer 1 beside the frame", BOTH, COARSE),
    ("ReSU: predictive > PCA", RESU, RESU_PCA),
)
Found = Mapping[str, Sequence[Mapping[str, Any]]]  # of each game a result per collection
Values = Mapping[str, np.ndarray]  # of each code or published method (games,)


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[str, ...] = ()  # by ale-py's names; none: all 22
    collections: int = 1  # replications: own play, own fit, own probes
    probe_seeds: int = 3  # of the codes that claims rest on: initial weights and draws
    other_seeds: int = 1  # of the other codes
    steps: int = 50_000  # of the probes' collection, over 8 streams [agent steps]
    encoder_steps: int = 100_000  # of the encoders' own [agent steps]
    components: int = 512  # of which predictive directions are made
    numbers: int = 256  # of a code
    epochs: int = 100  # of a probe at most
    smoke: bool = False  # seconds, proves nothing

    @property
    def asked(self) -> tuple[str, ...]:
        """The games."""
        return self.games or atari_ari.games()


SMOKE = {
    "games": ("pong", "space_invaders"),
    "probe_seeds": 2,
    "steps": 1600,
    "encoder_steps": 1600,
    "components": 24,
    "numbers": 12,
    "epochs": 3,
}


def check(c: Config) -> None:
    """Refuse what measures nothing, or cannot be fitted, before anything is computed."""
    require_positive(c, "collections", "probe_seeds", "other_seeds", "components", "numbers", "epochs")
    for game in c.games:
        atari_ari.refuse_unknown(game)
    least = 5 * atari_ari.SHORTEST  # of a stream: 8 of them have 8 episodes or more, 5 of which would do
    for name, value in (("steps", c.steps), ("encoder-steps", c.encoder_steps)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}")
    if c.numbers > c.components:
        raise ValueError(f"--numbers must be at most --components, {c.components}, not {c.numbers}")


def cells(run: Run) -> Found:
    """Of every game a cell per collection, side by side."""
    c = run.config
    sizes = c.steps, c.encoder_steps, c.components, c.numbers, c.probe_seeds, c.other_seeds, c.epochs
    settings = {game: [Setting(game, seed, *sizes) for seed in range(c.collections)] for game in c.asked}
    return run.cells(ari_cells.measure, settings)


# --- scores ---


def per_seed(game: str, cell: Mapping[str, Any], code: str, what: str, in_table: bool = False) -> list[float]:
    """A code's score in one collection by probe seed: of the variables that passed, or of those of published tables."""
    return [score for score, _ in _scored(game, cell, code, what, in_table)]


def _scored(game: str, cell: Mapping[str, Any], code: str, what: str, in_table: bool) -> list[tuple[float, dict]]:
    known = {variable.name: variable for variable in atari_ari.variables(game)}
    its = [known[name] for name in cell["variables"]]
    chosen = [i for i, v in enumerate(its) if (v.in_table if in_table else cell["passed"][i])]
    values = np.array(cell["arms"][code][what], np.float64)
    return [atari_ari.score(row[chosen], [its[i] for i in chosen]) for row in values]


def by_game(c: Config, found: Found, what: str = "f1", in_table: bool = False) -> dict[str, np.ndarray]:
    """{code or published method: (games,)}, the mean over collections and probe seeds; what: "f1" or "accuracy"."""
    values = {
        code: np.array(
            [np.mean([per_seed(game, cell, code, what, in_table) for cell in found[game]]) for game in c.asked]
        )
        for code in CODES
    }
    printed = "f1_in_table" if in_table else what
    theirs = [atari_ari.published(game, printed) for game in c.asked]
    return values | {theirs_of(method): np.array([its[method] for its in theirs]) for method in PUBLISHED}


def theirs_of(method: str) -> str:
    """What a published method is called beside ours."""
    return f"published: {method}"


def by_category(c: Config, found: Found, code: str) -> dict[str, float]:
    """{category: mean F1 over the games that have a variable of it}, over all collections and probe seeds."""
    means: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    for game in c.asked:
        scored = [by for cell in found[game] for _, by in _scored(game, cell, code, "f1", False)]
        for category in means:
            its = [by[category] for by in scored if category in by]
            means[category] += [float(np.mean(its))] if its else []
    return {category: float(np.mean(its)) for category, its in means.items() if its}


def fresh(c: Config) -> np.ndarray:
    """Which of the games were not looked at before: indices."""
    return np.array([i for i, game in enumerate(c.asked) if game not in LOOKED_AT], int)


# --- the report ---


def report(c: Config, found: Found) -> Report:
    """Table, verdicts, figure."""
    f1, table, accuracy = by_game(c, found), by_game(c, found, in_table=True), by_game(c, found, "accuracy")
    seconds = {arm: [cell["seconds"][arm] for game in c.asked for cell in found[game]] for arm in ARMS}
    rows = [*_code_rows(c, found, f1, table, accuracy, seconds), *_game_rows(c, found, f1)]
    dots = {
        code: {label_of(g): np.concatenate([per_seed(g, cell, code, "f1") for cell in found[g]]) for g in c.asked}
        for code in (FRAME, RESU)
    }
    marks = {name: dict(zip(map(label_of, c.asked), f1[theirs_of(name)], strict=True)) for name in (ST_DIM, SUPERVISED)}
    arrays = {"f1": f1, "f1_in_table": table, "accuracy": accuracy}
    return Report(
        rows,
        verdicts(c, f1, table, seconds),
        {"": partial(draw, c, dots, marks)},
        _notes(c, found),
        {name: np.stack(list(its.values())) for name, its in arrays.items()},
    )


def _code_rows(
    c: Config, found: Found, f1: Values, table: Values, accuracy: Values, seconds: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    unseen, every, rows = fresh(c), set(c.asked) == set(atari_ari.games()), []
    for code in f1:
        method = code.removeprefix("published: ")
        categories = (
            by_category(c, found, code) if code in CODES
            else {category: its[method] for category, its in atari_ari.published_by_category().items() if every}
        )  # fmt: skip
        rows.append(
            {"code or game": code, f"F1, {len(c.asked)} games": float(f1[code].mean())}
            | {f"F1, {len(unseen)} not looked at": float(f1[code][unseen].mean()) if len(unseen) else ""}
            | {"F1, fixed list": float(table[code].mean()), "accuracy": float(np.nanmean(accuracy[code]))}
            | {f"F1, {label}": categories.get(category, "") for category, label in CATEGORIES.items()}
            | {"fit [s]": max(seconds[code]) if code in seconds else ""}
            | dict.fromkeys(_columns(), "")
        )
    return rows


def _columns() -> list[str]:
    """Of the rows of games."""
    return ["variables", *(f"F1: {code}" for code in (*CODES, *map(theirs_of, PUBLISHED)))]


def _game_rows(c: Config, found: Found, f1: Values) -> list[dict[str, Any]]:
    of_codes = [name for name in _code_rows(c, found, f1, f1, f1, {})[0] if name not in _columns()]
    return [
        dict.fromkeys(of_codes, "")
        | {"code or game": label_of(game) + (" (looked at)" if game in LOOKED_AT else "")}
        | {"variables": int(np.sum(found[game][0]["passed"]))}
        | {f"F1: {code}": float(its[i]) for code, its in f1.items()}
        for i, game in enumerate(c.asked)
    ]


def verdicts(c: Config, f1: Values, table: Values, seconds: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """All claims, on paired differences over games; beside each the same over games that were not looked at."""
    st_dim, chance = theirs_of(ST_DIM), theirs_of(MAJORITY)
    above = stats_ci.verdict_positive
    not_worse = partial(stats_ci.verdict_not_worse, margin=MARGIN)
    equal = partial(stats_ci.verdict_equivalent, margin=MARGIN)
    made: list[Verdict] = []

    def judge(id: str, claim: str, code: str, other: str, rule: Callable[[Estimate], str], bound: float | None) -> None:
        made.append(_over(id, claim, f1[code] - f1[other], rule, bound))
        some = (f1[code] - f1[other])[fresh(c)]
        made.append(_over(f"{id}, fresh games", f"{claim}, in games not looked at", some, rule, bound))

    judge("1: frame > ST-DIM", f"{FRAME} above ST-DIM as published", FRAME, st_dim, above, None)
    claim = f"{FRAME} above ST-DIM as published, over the fixed list of variables"
    made.append(_over("1: frame > ST-DIM, fixed list", claim, table[FRAME] - table[st_dim], above, None))
    judge("2: ReSU > random", f"{RESU} above {RANDOM}", RESU, RANDOM, above, None)
    judge("3: predictive > PCA", f"{FRAME} above {FRAME_PCA}", FRAME, FRAME_PCA, above, None)
    claim = f"{FRAME_PCA} no worse than ST-DIM as published (by {MARGIN})"
    judge("4: PCA no worse than ST-DIM", claim, FRAME_PCA, st_dim, not_worse, MARGIN)
    longest = max(max(seconds[arm]) for arm in (FRAME, RESU))
    claim = f"fits of {FRAME} and of {RESU} take less than {LONGEST:.0f} s in every game, on one core"
    made.append(stats_ci.measured("5: fit", claim, longest, longest < LONGEST, LONGEST))
    for id, code, other in BESIDES:
        made.append(_over(id, f"{code} above {other}", f1[code] - f1[other], above, None))
    claim = f"the majority's label scores as published (within {MARGIN}), else the protocol is another one"
    made.append(_over("protocol", claim, f1[MAJORITY] - f1[chance], equal, MARGIN))
    return made


def _over(
    id: str, claim: str, differences: np.ndarray, rule: Callable[[Estimate], str], bound: float | None
) -> Verdict:
    """On a mean over games; missing without any."""
    claim = f"F1: {claim}"
    if not len(differences):
        return stats_ci.missing(id, claim, bound)
    its = stats_ci.estimate(differences)
    return Verdict(id, claim, its, rule(its), bound)


def spread(c: Config, found: Found, code: str) -> float:
    """Standard deviation of the mean over games between probe seeds of the first collection; NaN with one."""
    means = np.mean([per_seed(game, found[game][0], code, "f1") for game in c.asked], axis=0)
    return float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def _notes(c: Config, found: Found) -> list[str]:
    first = [found[game][0] for game in c.asked]
    between = "; ".join(f"{code} {spread(c, found, code):.4f}" for code in OFTEN)
    shares = ", ".join(f"{view} {np.mean([cell['shares'][view] for cell in first]):.1%}" for view in first[0]["shares"])
    removed, tested = sum(cell["removed"] for cell in first), sum(cell["steps"][2] for cell in first)
    return [
        f"Codes have {c.numbers} numbers and are frozen before the probes' play begins. Coarse: 105 x 80 pixels; ReSU: "
        "layer 1 (4 filters over 4 frames, 42 x 32 cells); random filters: the same with these in place of its own. "
        "Codes with layer 1 see 4 frames (before an episode's first one it is repeated), all others and the published "
        "ones see one.",
        "Intervals are over games, paired. Published figures are one run each; the order of episodes alone moves a "
        "mean over 22 games by .005 (standard deviation), which such an interval holds. Between probe seeds of one "
        f"collection the mean over games has a standard deviation of: {between}.",
        f"Games looked at while codes were made, on other play: {', '.join(map(label_of, LOOKED_AT))}. Fixed list: "
        "variables with a row in the published tables, whether or not they pass our filter. Categories of published "
        "codes: their Table 3.",
        f"Share of the variance in {c.components} components, mean over games: {shares}. Test frames removed because "
        f"they equal another part's: {removed / max(removed + tested, 1):.0%}.",
        "Not as in the original: today's ROMs, of which Tennis and Video Pinball fill 210 lines and were squeezed to "
        "them then; probes without columns for labels that never occur in training (the same scores to .002, PLAN.md).",
        "Fit: the longest of all games, on one core while another game runs on the other; playing is not in it.",
        "Not measured: wide codes. DIM-UA's .75 over 19 unnamed games, and ST-DIM's .70 of its width, have 16,384 "
        "numbers (arXiv 2305.10267); a probe of those takes about 60 times as long as one of 256.",
    ]


# --- the figure ---


def draw(
    c: Config, dots: Mapping[str, Mapping[str, np.ndarray]], marks: Mapping[str, Mapping[str, float]]
) -> figures.Figure:
    """F1 by game: probes of two of our codes, and what is published."""
    theirs = {f"{SUPERVISED}, published": marks[SUPERVISED]}
    panels = [
        Panel(code, its, marks[ST_DIM], f"{ST_DIM}, published", marks=theirs, most=1.0) for code, its in dots.items()
    ]
    n = c.collections * c.probe_seeds
    title = f"AtariARI: what linear probes read off {c.numbers} numbers\nn = {n} probe{'s' * (n > 1)} a game"
    return figures.page(title, [Rows(panels, alike=True, foot="F1")])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
