"""The record: verdicts on the original's claims, power, commands, costs; read from results, never typed."""

import dataclasses
import importlib
import json
import shlex
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import tyro
from scipy import stats

import fit_encoder
import report_claims
import report_original
import report_power
import report_results
import report_steps
import reproduce
import stage_io
import stats_ci
from report_original import Claim
from stage_io import ROOT
from stage_report import plain
from stats_ci import Estimate
from test_layout import kind_of


def sky(verdict):
    return {
        "sky": {
            "rows": [],
            "verdicts": [{"id": "drops fall", "claim": "rain", "estimate": "1 [0, 2]", "verdict": verdict, "n": 5}],
        }
    }


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("supported", "stands"),
        ("refuted", "falls"),
        ("equivalent", "stands"),
        ("undecided", "undecided"),
        ("supported, equivalent within 0.005", "stands"),
        ("refuted, equivalent within 0.005", "falls"),
        ("undecided, equivalent within 0.005", "stands"),
    ],
)
def test_which_verdicts_let_a_claim_stand(verdict, word):
    assert report_claims.decided("sky", "drops fall", sky(verdict)) == ("1 [0, 2]", word)


def test_what_is_not_there_is_missing_and_counted():
    assert report_claims.decided("sky", "drops fall", {}) == ("", "missing")
    assert report_claims.decided("sky", "hail", sky("supported")) == ("", "missing")
    counts = report_original.counted(report_original.rows({}))
    refused = sum(bool(claim.incomparable) for claim in report_original.CLAIMS)
    assert counts == dict.fromkeys(report_original.WORDS, 0) | {
        "not comparable": refused, "missing": len(report_original.CLAIMS) - refused
    }  # fmt: skip
    assert all("(missing)" in text for text in report_claims.findings({}))


SIZED = Claim("1", "it rains", "4", "sky", "drops fall")


@pytest.mark.parametrize(
    ("kind", "low", "high", "word"),
    [
        ({"effect": 4.0}, 1.0, 5.0, "stands"),
        ({"effect": 4.0}, 0.5, 1.9, "smaller"),
        ({"effect": 4.0}, -1.0, 3.9, "falls"),
        ({"effect": 4.0}, -1.0, 4.1, "undecided"),
        ({"effect": 4.0}, -9.0, -1.0, "falls"),
        ({"effect": -4.0}, -5.0, -1.0, "stands"),
        ({"effect": -4.0}, -1.9, -0.5, "smaller"),
        ({"effect": -4.0}, 1.0, 2.0, "falls"),
        ({"effect": -4.0}, -4.1, 1.0, "undecided"),
        ({"margin": 2.0}, -1.0, 2.1, "stands"),  # the 90 % interval lies inside
        ({"margin": 2.0}, -1.0, 3.0, "undecided"),
        ({"margin": 2.0}, 2.1, 3.0, "falls"),
        ({"margin": 2.0}, -3.0, -2.1, "falls"),
        ({"at_most": 2.0}, 0.0, 1.9, "stands"),
        ({"at_most": 2.0}, 1.0, 3.0, "undecided"),
        ({"at_most": 2.0}, 2.1, 3.0, "falls"),
        ({"at_least": 2.0}, 2.1, 3.0, "stands"),
        ({"at_least": 2.0}, 0.0, 1.9, "falls"),
        ({"at_least": 2.0}, 1.0, 3.0, "undecided"),
    ],
)
def test_a_claim_has_a_sign_and_a_size(kind, low, high, word):
    claim = dataclasses.replace(SIZED, **kind)
    assert report_original.judged(claim, Estimate((low + high) / 2, low, high, 6)) == word
    assert report_original.judged(claim, Estimate((low + high) / 2, low, high, 4)) == "undecided"
    unsure = report_original.judged(claim, Estimate((low + high) / 2, low, high, 6), p=0.06)
    assert unsure == ("falls" if word == "falls" else "undecided")


def test_p_values_are_those_of_t_tests():
    values = np.random.default_rng(3).normal(1.0, 2.0, 7)
    found = stats_ci.estimate(values)
    above, below = (
        lambda bound: stats.ttest_1samp(values, bound, alternative="greater").pvalue,
        lambda bound: stats.ttest_1samp(values, bound, alternative="less").pvalue,
    )
    for kind, wanted in (
        ({"effect": 3.0}, above(0)), ({"effect": -3.0}, below(0)), ({"at_most": 2.0}, below(2)),
        ({"at_least": -1.0}, above(-1)), ({"margin": 3.0}, max(above(-3), below(3))),
    ):  # fmt: skip
        assert report_original.p_value(dataclasses.replace(SIZED, **kind), found) == pytest.approx(wanted)


def test_p_values_are_adjusted_for_their_number():
    assert report_original.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's method
    assert report_original.holm([0.5, 0.9]) == [1.0, 1.0]
    assert sum(claim.primary for claim in report_original.CLAIMS) <= 8
    for claim in report_original.CLAIMS:
        kinds = [getattr(claim, name) is not None for name in ("effect", "margin", "at_most", "at_least")]
        assert sum(kinds) + bool(claim.incomparable) <= 1, claim


def test_detectable_differences_are_detected_as_often_as_they_say():
    rng = np.random.default_rng(0)
    for n, deviation in ((5, 2.0), (10, 0.5)):
        effect = report_power.detectable(deviation, n)
        samples = rng.normal(effect, deviation, (4000, n))
        found = stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05
        assert abs(found.mean() - 0.8) < 0.025
    assert report_power.detectable(1.0, 5) > report_power.detectable(1.0, 10) > 0
    assert np.isnan(report_power.detectable(1.0, 1))


def test_the_seeds_for_a_margin_are_as_many_as_it_takes():
    rng = np.random.default_rng(1)
    n = report_power.seeds_for(2.0, 1.5)

    def share(n):
        samples = rng.normal(0.0, 1.5, (4000, n))
        half = stats.t.ppf(0.95, n - 1) * samples.std(axis=1, ddof=1) / np.sqrt(n)
        return (np.abs(samples.mean(axis=1)) + half < 2.0).mean()

    assert share(n) > 0.75 and share(n - 2) < 0.8 and n > 6
    assert report_power.seeds_for(0.001, 100.0) is None


def test_the_table_of_power_is_of_paired_differences():
    rng = np.random.default_rng(0)
    expert = rng.normal(0, 10, (5, 20))
    rows = report_power.table({"bc_pong": {"resu_mlp": expert + np.arange(5)[:, None], "expert": expert,
                                    "filters_mlp": expert, "pca_mlp": expert}})  # fmt: skip
    assert [row["deviation between seeds"] for row in rows] == [f"{np.arange(5).std(ddof=1):.2f}"] * 3


@dataclasses.dataclass(frozen=True)
class Options:
    n_frames: int = 5
    rows: tuple[str, ...] = ("a", "b")
    fast: bool = False
    smoke: bool = False


def test_the_command_names_what_differs_from_the_defaults():
    def line(**options):
        return stage_io.command_line("bc_test.py", Options(**options))

    assert line() == "python src/bc_test.py"
    assert line(n_frames=7, rows=("raw mlp", "b")) == "python src/bc_test.py --n-frames 7 --rows 'raw mlp' b"
    assert line(fast=True) == "python src/bc_test.py --fast"
    small = {"n_frames": 1, "rows": ("a",)}
    smoke = stage_io.command_line("bc_test.py", Options(n_frames=1, rows=("b",), smoke=True), small)
    assert smoke == "python src/bc_test.py --rows b --smoke"


def other(value: Any, kind: Any) -> Any:
    """Another value of an option's kind; the same where none is at hand."""
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        item = kinds[0]
        if len(kinds) == 2 and kinds[1] is ...:
            return (*value[:1], other(value[0] if value else item(), item))
        return tuple(other(each, its) for each, its in zip(value, kinds, strict=True))
    if isinstance(value, bool):
        return not value
    return f"x*/a file{value}.npy" if isinstance(value, str) else value if value is None else value + 1


def test_commands_of_the_record_run_as_they_stand():
    """Of every stage, with the options of its steps and with every option changed, also in a smoke run."""
    for step in report_steps.STEPS:
        stage = importlib.import_module(step.script).STAGE
        default = stage.config()
        kinds = get_type_hints(stage.config, include_extras=True)
        changed = {f.name: other(getattr(default, f.name), kinds[f.name]) for f in dataclasses.fields(default)}
        small = {**stage.smoke, "smoke": True}
        for config in (
            stage_io.parse_config(stage.config, shlex.split(step.options), stage.smoke),
            dataclasses.replace(default, **(changed | {"smoke": False})),
            dataclasses.replace(default, **small),
            dataclasses.replace(default, **{**changed, **dict(list(stage.smoke.items())[:1]), "smoke": True}),
        ):
            python, script, *words = shlex.split(stage_io.command_line(f"{step.script}.py", config, stage.smoke))
            assert (python, script) == ("python", f"src/{step.script}.py")
            assert stage_io.parse_config(stage.config, words, stage.smoke) == config
    row = stage_io.command_line("fit_encoder.py", fit_encoder.Config(("data/a b.npy", "c*.npy"), grid=(2, 3)))
    assert row == "python src/fit_encoder.py 'data/a b.npy' 'c*.npy' --grid 2 3"


def test_results_name_their_commands():
    for step in report_steps.STEPS:
        path = ROOT / "results" / f"{step.name}.json"
        if path.is_file():
            stage, document = importlib.import_module(step.script).STAGE, json.loads(path.read_text())
            words = shlex.split(document["command"])[2:]
            config = stage_io.parse_config(stage.config, words, stage.smoke)
            assert json.loads(json.dumps(plain(config))) == document["config"], step.name


def test_the_index_lists_every_result(tmp_path):
    found = report_results.index(ROOT / "results")
    assert list(found) == [name for name, _, _ in report_results.STAGES]
    for name, entry in found.items():
        assert entry.get("missing") or (f"{name}.json" in entry["files"] and entry["commit"])
    assert all(entry["missing"] for entry in report_results.index(tmp_path).values())
    assert json.loads((ROOT / "results" / "index.json").read_text()) == found


def test_every_stage_is_in_the_record_and_every_command_is_understood():
    """Options are parsed by the stages themselves: a renamed option would fail here, not after a day."""
    scripts = {step.script for step in report_steps.STEPS}
    stages = {path.stem for path in (ROOT / "src").glob("*.py") if kind_of(path.stem) == "stage"}
    assert stages == scripts | {"report_results", "reproduce", "collect_natural_scenes", "watch"}
    assert len({step.name for step in report_steps.STEPS}) == len(report_steps.STEPS)
    for step in report_steps.STEPS:
        module = importlib.import_module(step.script)
        config = tyro.cli(module.Config, args=shlex.split(step.options))
        assert dataclasses.is_dataclass(config) and not config.smoke
        if step.heading:
            assert step.name.startswith(step.script)


def test_steps_are_chosen_by_stage_and_once_per_script_for_a_smoke_run():
    assert [step.name for step in reproduce.chosen(("3", "9c"), False)] == [
        "probe_pong_action", "transfer_forgetting", "transfer_forgetting_original",
    ]  # fmt: skip
    assert len(reproduce.chosen((), True)) == len({step.script for step in report_steps.STEPS})
    with pytest.raises(ValueError, match="there is no stage 99: choose among"):
        reproduce.chosen(("99",), False)


def test_time_left_in_words():
    assert [stage_io.duration(s) for s in (4, 89, 91, 3600, 36_000, 10**6)] == [
        "4 s",
        "89 s",
        "2 min",
        "1 h 00 min",
        "10 h 00 min",
        "12 days",
    ]


def test_a_comparison_without_one_of_its_arms_has_no_row():
    """A smoke run has fewer arms."""
    chosen = report_power.COMPARISONS[0]
    scores = np.random.default_rng(0).normal(0, 1, (5, 20))
    assert len(report_power.table({chosen.result: {chosen.a: scores, chosen.b: scores + 1}})) == 1
    assert report_power.table({chosen.result: {chosen.a: scores}}) == []
