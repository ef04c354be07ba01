"""What a reader may expect of the pages: short, whole, no link into nothing, no text that the verdicts contradict."""

import copy
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import figures_claims
import report_claims
import report_contributions
import report_forest
import report_ledger
import report_original
import report_page
import report_recipes
import report_results
import report_stages
import report_steps
import report_tables
from report_original import Claim, Row
from stage_io import ROOT
from stage_report import read_estimate

RESULTS = ROOT / "results"
PAGES = [
    *(ROOT / name for name in ("RESULTS.md", "README.md", "USING.md", "PLAN.md", "src/README.md")),
    *(RESULTS / report_stages.file_of(page) for page in report_stages.pages()),
]


@pytest.fixture(scope="module")
def found():
    """All documents of results."""
    return report_tables.documents(RESULTS)


def table_below(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head included."""
    lines = text.split(f"\n## {heading}")[1].split("\n## ")[0].splitlines()
    return [line[1:-1].split("|") for line in lines if line.startswith("|") and not line.startswith("|-")]


def test_pages_are_short():
    assert len((ROOT / "RESULTS.md").read_bytes()) <= 15_000
    assert len((ROOT / "README.md").read_bytes()) < 12_000
    assert (ROOT / "RESULTS.md").read_text().count("![") == 6


def test_every_claim_says_what_is_compared_with_how_many_seeds_and_whether_it_is_the_originals(found):
    head, *rows = table_below((ROOT / "RESULTS.md").read_text(), "The original's claims")
    assert head == ["stage", "claim of the original", "its figures", "ours [95 %]", "n", "verdict", "same?"]
    claims = report_original.rows(found)
    assert len(rows) == len(claims)
    reasons = re.search(r"\nSame\? (.+)", (ROOT / "RESULTS.md").read_text())[1]
    compares = re.compile(
        r" (above|below|like|as before|than|adds at most|at least|at more noise|keeps? a cosine|drift away|ends at"
        r"|is a (low-pass|derivative)|has one sign change|learns nothing|reads them)\b"
    )
    for (stage, text, figures, ours, n, verdict, same), row in zip(rows, claims, strict=True):
        assert stage == f"[{row.claim.stage}]" and text.startswith(row.claim.text)
        assert compares.search(f" {text}"), text
        assert not re.match(r"(and|nor|the same|it)\b", text), f"only understood after the row before: {text}"
        assert re.fullmatch(r"\d+", n) and int(n) >= 3 and ours
        assert verdict.split(" (")[0] in report_original.WORDS and ("(" in verdict or "undecided" not in verdict)
        word, letter = re.fullmatch(r"(yes|partly|no)(?: ([a-z]))?", same).groups()
        assert (word == "yes") == (letter is None) and (letter is None or f"{letter}: " in reasons)
        assert word != "no" or not figures, "a figure of another experiment"


def test_figures_of_the_original_are_what_its_effects_and_differences_come_from():
    def numbers(text):
        plain = re.sub(r"\+- [\d.]+", "", text)
        return [float(number) for number in re.findall(r"(?<![\w.])-?\d*\.?\d+(?![\w])", plain)]

    checked = 0
    for claim in report_original.CLAIMS:
        its = numbers(claim.figures)
        wanted = claim.effect if claim.effect is not None else claim.reported
        if wanted is None or len(its) != 2 or " s" in claim.figures or ".." in claim.figures:
            continue
        assert its[0] - its[1] == pytest.approx(wanted, abs=0.0011 if abs(wanted) < 1 else 0.1), claim
        checked += 1
    assert checked >= 30
    for claim in report_original.CLAIMS:
        assert claim.reported is None or claim.effect is None, claim


def test_every_step_stands_on_exactly_one_page_and_every_result_in_exactly_one_section(found):
    placed = [step.name for steps in report_stages.pages().values() for step in steps]
    assert sorted(placed) == sorted(step.name for step in report_steps.STEPS)
    texts = {path.name: path.read_text() for path in PAGES if path.parent == RESULTS}
    for step in report_steps.STEPS:
        its = report_stages.file_of(report_stages.page_of(step))
        wanted = f"## {step.heading}" if step.heading else f"- `{step.command}`: "
        there = {name for name, text in texts.items() for line in text.splitlines() if re.fullmatch(
            rf"{re.escape(wanted)}( †.*)?" if step.heading else rf"{re.escape(wanted)}.*", line)}  # fmt: skip
        assert there == {its}, step.name
        if step.name in found:
            assert found[step.name]["command"] in texts[its]


def test_no_row_and_no_verdict_is_lost_between_the_tables(found):
    """What the main tables leave out stands at the end of the page."""
    for step in report_steps.STEPS:
        if not step.heading or step.name not in found:
            continue
        text = (RESULTS / report_stages.file_of(report_stages.page_of(step))).read_text()
        document = found[step.name]
        plain = re.sub(r" †\d+", "", text)
        for row in document["rows"]:
            assert (
                report_tables.rows_table([row], "", report_ledger.Footnotes()).splitlines()[-1].strip("|").split("|")[0]
                in plain
            )
        for verdict in document["verdicts"]:
            assert f"|{verdict['claim']}|" in plain.replace("\\|", "|"), (step.name, verdict["claim"])


def test_main_tables_are_chosen_not_cut(found):
    for step in report_steps.STEPS:
        rows = found.get(step.name, {"rows": ()})["rows"]
        if len(rows) > report_tables.MOST:
            main = report_tables.main_of(step)
            chosen = [row for row in rows if re.search(main, report_tables.row_text(row))]
            assert main and 1 <= len(chosen) <= report_tables.MOST, (step.name, len(chosen))
            assert report_tables.main_rows(rows, main) == chosen


def test_a_variant_shows_the_rows_and_verdicts_of_its_experiment(found):
    step = next(step for step in report_steps.STEPS if step.name == "depth_ablation_si")
    variant = dataclasses.replace(step, name="depth_ablation_si_variant", options="--variant", main="")
    verdicts = found[step.name]["verdicts"]
    assert report_tables.main_of(variant) == step.main
    shown = report_stages.main_verdicts(variant, verdicts)
    assert shown == report_stages.main_verdicts(step, verdicts) and 5 < len(shown) < len(verdicts)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_link_leads_into_nothing(path):
    text = path.read_text()
    inline = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    defined = dict(re.findall(r"(?m)^\[([^\]]+)\]: (\S+)$", text))
    for target in [*inline, *defined.values()]:
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
    if path.name == "RESULTS.md":
        for label in re.findall(r"(?m)^\|\[([^\]]+)\]", text):
            assert label in defined, label


def test_readme_leads_to_every_page_and_the_tables_of_results_to_theirs(found):
    for page in report_stages.pages():
        assert f"](results/{report_stages.file_of(page)})" in (ROOT / "README.md").read_text()
    defined = dict(re.findall(r"(?m)^\[([^\]]+)\]: (\S+)$", (ROOT / "RESULTS.md").read_text()))
    for row in report_original.rows(found):
        its = report_stages.page_of(next(step for step in report_steps.STEPS if step.name == row.claim.result))
        assert defined[row.claim.stage] == f"results/{report_stages.file_of(its)}"


def test_findings_say_what_the_verdicts_say(found):
    assert len(report_claims.FINDINGS) == 3
    for finding in report_claims.FINDINGS:
        assert finding.rests_on and report_claims.stale(finding, found) == [], finding.short
    assert all("(missing)" in text and report_claims.STALE not in text for text in report_claims.findings({}))


def test_a_finding_whose_verdicts_change_is_marked(found):
    """Negative control, for each premise by itself."""
    for i, finding in enumerate(report_claims.FINDINGS):
        for name, id, _ in finding.rests_on:
            changed = copy.deepcopy(found)
            verdict = next(v for v in changed[name]["verdicts"] if v["id"] == id)
            verdict["verdict"] = "undecided" if verdict["verdict"] != "undecided" else "supported"
            verdict["estimate"] = {"mean": 50.0, "low": -50.0, "high": 150.0, "n": 5}
            assert report_claims.stale(finding, changed) == [f"{name}: {id}"]
            assert report_claims.STALE in report_claims.findings(changed)[i]
            assert report_claims.STALE in report_claims.findings(changed, short=True)[i]


def test_what_has_no_control_is_called_a_demonstration(found):
    """And what gets one moves to the contributions by itself."""
    shown = report_claims.demonstrations(found)
    rows = table_below((ROOT / "RESULTS.md").read_text(), "Demonstrations")[1:]
    assert [row[0].split(" †")[0] for row in rows] == [each.text for each in shown]
    controlled = {one.result for one in report_contributions.contributions(found)}
    assert controlled and not controlled & {each.result for each in shown}
    for each in shown:
        step = next(step for step in report_steps.STEPS if step.name == each.result)
        page = (RESULTS / report_stages.file_of(report_stages.page_of(step))).read_text()
        assert "*A demonstration*" in page.split(f"## {step.heading}")[1].split("\n## ")[0], step.name
    changed = copy.deepcopy(found)
    twin = {"id": "resu mlp > filters mlp", "claim": "", "estimate": {"mean": 9.0, "low": 8.0, "high": 10.0, "n": 5},
            "verdict": "supported", "margin": None, "n": 5}  # fmt: skip
    changed[shown[0].result]["verdicts"].append(twin)
    assert shown[0] not in report_claims.demonstrations(changed)
    assert any(one.result == shown[0].result for one in report_contributions.contributions(changed))


def estimate(low, high, n=6):
    return {"mean": (low + high) / 2, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("low", "high", "n", "word"),
    [
        (3.0, 9.0, 6, "above"),
        (0.1, 1.0, 6, "above, within the margin"),
        (-0.5, 1.0, 6, "equal"),
        (-1.0, -0.1, 6, "below, within the margin"),
        (-9.0, -3.0, 6, "below"),
        (-1.0, 9.0, 6, "undecided"),
        (3.0, 9.0, 4, "undecided"),
    ],
)
def test_contributions_are_read_from_intervals_and_margins(low, high, n, word):
    verdicts = [
        {"id": "resu mlp > filters mlp", "estimate": estimate(low, high, n), "verdict": "", "margin": None},
        {"id": "resu mlp > random", "estimate": None, "verdict": "supported", "margin": None},
        {"id": "clone = expert", "estimate": None, "verdict": "", "margin": 2.0},
    ]
    (one,) = report_contributions.contributions({"bc_pong": {"config": {}, "verdicts": verdicts}})
    assert (one.game, one.control, one.word, one.margin, one.idle) == ("pong", "random filters", word, 2.0, False)
    summary = report_contributions.summary([one], "random filters")
    assert summary.startswith(f"random filters: {word} in Pong")
    for config in ({"sticky": 0}, {"recipe": "original"}, {"max_over": 1}):
        assert report_contributions.contributions({"bc_pong": {"config": config, "verdicts": verdicts}}) == []
    verdicts[1]["verdict"] = "refuted"  # a clone that plays as at random
    (one,) = report_contributions.contributions({"bc_pong": {"config": {}, "verdicts": verdicts}})
    assert one.idle and "missing" in report_contributions.summary([one], "random filters")


def test_every_comparison_with_a_control_is_among_the_contributions(found):
    known = {(one.result, one.control) for one in report_contributions.contributions(found)}
    assert known >= {
        ("bc_pong", "random filters"),
        ("bc_games_enduro", "temporal PCA"),
        ("bc_breakout", "random filters"),
        ("asteroids_enduro_stress", "raw frames"),
        ("probe_pong", "temporal PCA"),
    }
    assert {one.game for one in report_contributions.contributions(found)} == set(report_contributions.GAMES)


@pytest.mark.parametrize(
    ("kind", "at", "value"),
    [
        ({"effect": -4.0}, -4.0, 1.0),
        ({"effect": -4.0}, 2.0, -0.5),
        ({"margin": 2.0}, -1.0, -0.5),
        ({"at_most": 0.5}, 0.25, 0.5),
        ({"at_most": -15.0, "zero": -21.0}, -18.0, 0.5),
        ({"at_least": 0.9, "zero": 1.0}, 0.8, 2.0),
    ],
)
def test_the_forest_is_in_units_of_the_claims(kind, at, value):
    claim = Claim("1", "it rains", "4", "sky", "drops", **kind)
    verdict = {"estimate": estimate(at - 0.1, at + 0.1), "n": 6}
    row = report_forest.forest_row(Row(claim, verdict, "stands", None))
    assert row.mean == pytest.approx(value) and row.low < row.mean < row.high
    assert row.original == 1.0 if "effect" in kind else np.isnan(row.original)


def test_every_claim_is_in_the_forest_and_on_the_side_that_its_verdict_says(found):
    rows = report_original.rows(found)
    groups = report_forest.groups(rows)
    assert sum(len(group.rows) for group in groups) == len(rows)
    effects, others, rest = groups
    assert all(row.low > 0 for row in effects.rows if row.word in ("stands", "smaller"))
    assert all(row.low < 1 and row.high < 1 for row in effects.rows if row.word == "falls")
    assert all(row.mean < 1 for row in others.rows if row.word == "stands")
    assert all(row.low > 1 or row.high < -1 for row in others.rows if row.word == "falls")
    assert all(np.isnan(row.low) for row in rest.rows)


def test_pictures_of_claims_are_legible_and_drawn_the_same_again(found):
    for name, figure in report_results.figures(found).items():
        first, second = io.BytesIO(), io.BytesIO()
        figure.savefig(first, format="png", dpi=120)
        report_results.figures(found)[name].savefig(second, format="png", dpi=120)
        assert first.getvalue() == second.getvalue(), name
        assert figure.get_size_inches()[0] == figures_claims.WIDTH
        words = [text for text in figure.findobj(Text) if text.get_text().strip()]
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        for text in (word for word in words if len(word.get_text()) > 3):  # ticks beyond the limits are not drawn
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1, text.get_text()
        assert len(words) > 10 and min(text.get_fontsize() for text in words) >= figures_claims.SMALL, name


def test_numbers_that_came_after_a_first_look_are_marked(found):
    assert report_ledger.unknown() == []
    for name, id in (("transfer_forgetting", "ReSU, alpha 0.99: head, means and gains kept"),
                     ("dqn_pong", "slow, 0.5 M < -15"), ("ppo_pong", "features > 0"),
                     ("probe_pong_action", "L1 on actions, quiet cells > L1, quiet cells")):  # fmt: skip
        assert report_ledger.of_number(name, id), id
    assert not report_ledger.of_number("transfer_forgetting", "ReSU, alpha 0.99: head kept", 5)
    assert report_ledger.of_number("transfer_forgetting", "ReSU, alpha 0.99: head kept", 10)
    for path in (*(path for path in PAGES if path.parent == RESULTS), ROOT / "RESULTS.md"):
        text = path.read_text()
        used, defined = set(re.findall(r"(?m)†\d+(?![:\d])", text)), re.findall(r"†\d+(?=:)", text)
        assert used == set(defined) and len(defined) == len(used), path.name
    row = next(row for row in report_original.rows(found) if row.claim.result == "bc_breakout")
    assert int(row.verdict["n"]) <= 10 or report_stages.added_to(row)


def test_footnotes_stand_once_in_the_order_of_their_first_use():
    notes = report_ledger.letters()
    assert (notes.mark(["x"]), notes.mark([]), notes.mark(["y", "x"])) == (" a", "", " b a")
    assert notes.lines() == ["a: x.", "b: y."]


def test_the_table_of_claims_shows_estimates_by_label_without_intervals():
    text = report_page.means({"low": estimate(0.0, 1.0), "high": estimate(1.0, 2.0)})
    assert text == "0.5 (low), 1.5 (high)"
    assert read_estimate(estimate(0.0, 1.0)) is not None


def test_plan_has_its_claims_first_and_its_history_last():
    text = (ROOT / "PLAN.md").read_text()
    claims, log = text.split("\n# Log\n")
    for words in ("Seen", "before the next full run", "Changes after", "after five of the seven arms", "Tried before"):
        assert words not in claims, words
        assert words in log or words in ("Seen",), words
    assert claims.count("alsified") > 20 and Path(ROOT / "PLAN.md").stat().st_size > 40_000


def under_both(ours, its):
    """What two recipes found of "its layer 2 is above its layer 1" (.02)."""

    def document(low, high):
        found = {"mean": (low + high) / 2, "low": low, "high": high, "n": 5}
        return {"verdicts": [{"id": "ball velocity: L2 > L1", "estimate": found, "verdict": "", "n": 5}]}

    return {"probe_pong": document(*ours), "probe_pong_original": document(*its)}


@pytest.mark.parametrize(
    ("its", "word"),
    [((0.02, 0.04), "changes nothing"), ((-0.02, 0.001), "decides"), ((-0.01, 0.03), "leaves it open")],
)
def test_a_claim_is_judged_under_both_recipes(its, word):
    (row,) = [row for row in report_recipes.table(under_both((0.01, 0.03), its)) if row["the recipe"] != "missing"]
    assert (row["verdict"], row["the recipe"]) == ("stands", word)
    assert row["our recipe [95 % interval]"] == "0.020 [0.010, 0.030], n = 5"
    text = report_recipes.summary(under_both((0.01, 0.03), its))
    assert ("1 of 1 verdicts are those under ours." in text) == (word == "changes nothing")
    assert ("ball's velocity: L2 above L1: stands" in text) == (word != "changes nothing")


def test_shapes_are_those_of_the_recipe():
    shape = next(claim for claim in report_original.CLAIMS if claim.id.startswith("original: "))
    ours, its = (report_recipes.under(shape, recipe) for recipe in ("ours", "original"))
    assert ours.id.startswith("centred: ") and its.id == shape.id and ours.result == its.result
    assert "missing" in report_recipes.summary({})
