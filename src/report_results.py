"""Rebuild RESULTS.md, and the tables in README.md, from results/*.json alone. No number in them is typed by hand.

A block in README.md between `<!-- results: NAME -->` and `<!-- end -->` is replaced by the tables of results/NAME.json.
A stage without a result is listed as missing; a result that came from uncommitted code is marked.

Reads      results/*.json          Writes  RESULTS.md, README.md (or, with --smoke, results/smoke/RESULTS.md)
Run        python src/report_results.py
           python src/report_results.py --smoke    (reports the smoke runs, proves nothing)
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_files
from stage_io import ROOT, guard, markdown_table, parse_config

STICKY_0 = "For comparison only: the same few games are played again and again, so the intervals mean little."
# Results in reading order: name, heading, what was asked.
STAGES = (
    ("bench_core", "Core speed", "Exact moments and encoding against torch, one run."),
    (
        "probe_deadleaves",
        "Stage 1: dead leaves",
        "Does moving dead-leaves input give lamina-like filters, and how do they change with the noise?",
    ),
    ("eval_expert", "Experts", "The hand-written players that are imitated."),
    ("demo_pong", "The whole path, one seed", "What `make demo` prints; intervals here are over games."),
    ("probe_pong", "Stage 2: linear probes on Pong", "What can be read off the code by one matrix?"),
    ("probe_pong_newest", "Stage 2 without the maximum over two frames", "Does the observation explain the paddle?"),
    ("probe_pong_velocity", "Stage 2: the ball's velocity", "With fair baselines and controls."),
    ("probe_pong_action", "Stage 3: actions in layer 1's past", "Is an injected scalar of any use?"),
    ("asteroids_enduro_stress", "Stage 11: filters of five games", "Is only the derivative universal?"),
    (
        "depth_ablation_si",
        "Stage 8: depth, on Space Invaders",
        "Does a third layer earn its keep, against controls of equal size?",
    ),
    ("bc_pong", "Stage 4a: imitating the reactive expert", "Do the features suffice for control?"),
    ("bc_pong_winning", "Stage 4a: imitating the winning expert", "Does the clone of a winner win?"),
    ("bc_pong_sticky0", "Stage 4a without sticky actions", STICKY_0),
    ("eval_breakout_expert", "Breakout's experts", "Who is imitated in Breakout."),
    ("bc_games_breakout", "Stage 4: imitating the Breakout expert", "Codes and heads, with controls."),
    (
        "bc_games_breakout_dagger",
        "Stage 4: imitating the Breakout expert, with aggregation",
        "Does relabelling the clone's own games help?",
    ),
    ("bc_games_space_invaders", "Stage 4: imitating the Space Invaders expert", "Codes and heads, with controls."),
    ("bc_games_asteroids", "Stage 11: imitating the Asteroids expert", "Codes and heads, with controls."),
    ("bc_games_enduro", "Stage 11: imitating the Enduro expert", "Codes and heads, with controls."),
    ("bc_breakout", "Stage 5: from Pong to Breakout", "Does streaming a Pong encoder match fitting anew?"),
    ("bc_breakout_sticky0", "Stage 5 without sticky actions", STICKY_0),
    ("bc_pong_cnn_tuning", "Stage 6: settings tried", "Validation accuracy on the tuning seed."),
    ("bc_pong_cnn", "Stage 6: the DQN network end to end", "Is it any better than ReSU with an MLP?"),
    ("bc_pong_cnn_sticky0", "Stage 6 without sticky actions", STICKY_0),
    ("transfer_matrix", "Stages 9a and 9b: adaptation from game to game", "Where does streaming pay?"),
    ("transfer_forgetting", "Stage 9c: forgetting", "What is left of Pong after Breakout?"),
    ("ppo_pong", "Stage 7: PPO on the frozen code", "Does reinforcement learning win Pong?"),
    ("ppo_pong_clone", "Stage 7: PPO from a clone", "Does it improve on what it begins as?"),
    ("ppo_pong_breakout", "Stage 7: PPO on the frozen code, Breakout", "Does it beat the published linear features?"),
    ("ppo_pong_space_invaders", "Stage 7: PPO on the frozen code, Space Invaders", "The same."),
    ("dqn_pong", "Stage 7: DQN", "Is it the steps, or the code, that the original's DQN lacked?"),
    ("dqn_pong_warmstart", "Stage 7: DQN begun as a clone", "Why it collapses, and what keeps it from that."),
    ("bench_play", "Speed of play", "What does a clone cost on top of the emulator?"),
)


@dataclass(frozen=True)
class Config:
    """Options."""

    smoke: bool = False


def tables(document: dict[str, Any]) -> str:
    """The tables of one result."""
    parts = [markdown_table(document["rows"])]
    if document["verdicts"]:
        parts.append(markdown_table(document["verdicts"]))
    if document.get("notes"):
        parts.append("\n".join(f"- {note}" for note in document["notes"]))
    if document["timings"]:
        parts.append(
            "Time of each step: "
            + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in document["timings"].items())
        )
    return "\n\n".join(parts)


def origin(document: dict[str, Any]) -> str:
    """Where one result came from, in one line."""
    source = document["provenance"]
    commit = source["commit"][:10] + (", **with uncommitted changes**" if source["uncommitted"] else "")
    versions = ", ".join(f"{name} {source['versions'][name]}" for name in ("numpy", "numba", "torch", "ale-py"))
    config = ", ".join(f"{name} {value}" for name, value in document["config"].items() if name not in ("smoke", "rows"))
    return f"*Commit {commit}; {source['hardware']}; Python {source['python']}, {versions}. Options: {config}.*"


def section(results: Path, name: str, heading: str, question: str) -> str:
    """One stage's part of RESULTS.md."""
    path = results / f"{name}.json"
    if not path.is_file():
        return f"## {heading}\n\n{question}\n\n**Missing**: `{path.name}` has not been computed.\n"
    document = array_files.read_json(path, f"delete {path.name} and run its stage again")
    drawn = sorted([*results.glob(f"{name}.png"), *results.glob(f"{name}__*.png")], key=lambda path: path.stem)
    figures = "".join(f"\n![{heading}](results/{path.name})\n" for path in drawn)
    return f"## {heading}\n\n{question}\n\n{tables(document)}\n{figures}\n{origin(document)}\n"


def results_page(results: Path) -> str:
    """The whole text of RESULTS.md."""
    head = "# RESULTS\n\nGenerated by `make report` from `results/`; claims and margins are in PLAN.md.\n"
    return "\n".join([head, *(section(results, *stage) for stage in STAGES)])


def fill_readme(text: str, results: Path) -> str:
    """README text with every marked block rebuilt."""

    def replace(match: re.Match[str]) -> str:
        path = results / f"{match[1]}.json"
        body = tables(array_files.read_json(path)) if path.is_file() else f"(missing: `{path.name}`)"
        return f"<!-- results: {match[1]} -->\n{body}\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


def main(argv: list[str] | None = None) -> None:
    """Write both files."""
    config = parse_config(Config, argv)
    results = ROOT / "results" / "smoke" if config.smoke else ROOT / "results"
    text = results_page(results)
    target = results / "RESULTS.md" if config.smoke else ROOT / "RESULTS.md"
    array_files.write_atomically(target, lambda file: file.write(text.encode()))
    if not config.smoke:
        readme = fill_readme((ROOT / "README.md").read_text(), results)
        array_files.write_atomically(ROOT / "README.md", lambda file: file.write(readme.encode()))
    print(f"{target.relative_to(ROOT)} written")


if __name__ == "__main__":
    guard(main)
