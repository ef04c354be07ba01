"""Stage 14 on planted cells: what comes back is judged against what was lost, in each pair; and what is given back."""

import numpy as np
import pytest

import resu_controls
import transfer_gauge
from resu_conv import ReSUEncoder
from transfer_gauge import BACK, CLAIMED

PAIRS = ("pong > breakout", "breakout > enduro")


def planted(scores: dict[str, float], seeds: int = 6) -> dict:
    """Cells: before 10 points, with nothing 0, and what `scores` says, with a little noise by seed."""
    means = {"before": 10.0} | dict.fromkeys(BACK, 0.0) | scores
    rng = np.random.default_rng(0)
    noise = {back: rng.normal(0, 0.1, (seeds, 20)) for back in means}
    return {
        pair: {
            back: [
                {"scores": (mean + noise[back][seed]).tolist(), "lost": [0.1, 0.2] if "span" in back else None}
                for seed in range(seeds)
            ]
            for back, mean in means.items()
        }
        for pair in PAIRS
    }


def words(scores: dict[str, float]) -> dict[str, str]:
    config = transfer_gauge.Config(pairs=PAIRS, seeds=6)
    return {verdict.id: verdict.verdict for verdict in transfer_gauge.report(config, planted(scores)).verdicts}


def test_nine_tenths_of_the_loss_decide():
    assert words({CLAIMED: 9.5})["pong > breakout: span, means"] == "supported"
    assert words({CLAIMED: 8.5})["breakout > enduro: span, means"] == "refuted"
    found = words({CLAIMED: 9.5, "random span, means": 9.9, "means": 9.0})
    assert found["pong > breakout: span > random"] == "refuted" and found["pong > breakout: gains"] == "refuted"
    assert found["pong > breakout: means"] == "undecided" and len(found) == len(PAIRS) * len(BACK)


def test_rows_show_scores_changes_and_what_no_combination_holds():
    report = transfer_gauge.report(transfer_gauge.Config(pairs=PAIRS, seeds=6), planted({CLAIMED: 9.0}))
    assert len(report.rows) == len(PAIRS) * (1 + len(BACK))
    row = next(row for row in report.rows if row["given back"] == CLAIMED)
    assert row["after - before"].mean == pytest.approx(-1, abs=0.1) and row["lost of filters 1 to 4"] == "10.0% 20.0%"
    assert report.rows[0]["after - before"] == "" and report.figures[""]().axes


@pytest.fixture(scope="module")
def encoders() -> tuple[ReSUEncoder, ReSUEncoder]:
    rng = np.random.default_rng(0)
    found = []
    for step in (3, 9):
        frames = np.clip(rng.normal(0, step, (400, 20, 16)).cumsum(axis=0) + 128, 0, 255).astype(np.uint8)
        found.append(ReSUEncoder(grid=(4, 4)).fit([frames]))
    return found[0], found[1]


@pytest.mark.parametrize("back", BACK)
def test_what_is_given_back_is_what_it_says(back, encoders):
    home, moved = encoders
    before = moved.filters_.copy()
    encoder, lost = transfer_gauge.given_back(moved, home, back, 0)
    assert np.array_equal(encoder.mean_, home.mean_ if "means" in back else moved.mean_)
    assert np.array_equal(moved.filters_, before) and encoder.grid == home.grid
    norms, (old, new) = np.linalg.norm(encoder.filters_, axis=1), (np.linalg.norm(e.filters_, axis=1) for e in encoders)
    if "gains" in back:
        assert np.allclose(norms, old) and np.allclose(encoder.filters_ / norms[:, None], before / new[:, None])
    elif "span" in back:
        span = resu_controls.random_filters(moved, 0).filters_ if "random" in back else before
        rest = encoder.filters_ - encoder.filters_ @ np.linalg.pinv(span) @ span
        assert np.abs(rest).max() < 1e-9 * np.abs(encoder.filters_).max() and lost is not None and lost[0] < 0.1
    else:
        assert np.array_equal(encoder.filters_, before)
    assert (lost is None) == ("span" not in back)
