"""Panoramas become rows of contrast: against slow references, with properties, and bad pictures refused."""

import base64
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import natural_scenes
from natural_scenes import N_COLUMNS, Scenes

ROOT = Path(__file__).resolve().parent.parent


def panorama(height=128, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(cv2.GaussianBlur(rng.standard_normal((height, 2 * height)), (0, 0), 3) * 3)


def slow_blur(light, sd, row, column):
    """One pixel of a Gaussian blur by its sum: azimuth is periodic, the poles' rows repeat; cut at 4 sd."""
    height, width = light.shape
    reach = int(4 * sd + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sd**2))
    weights /= weights.sum()
    return sum(
        a * b * light[min(max(row + i, 0), height - 1), (column + j) % width]
        for i, a in zip(offsets, weights, strict=True)
        for j, b in zip(offsets, weights, strict=True)
    )


def test_contrast_equals_its_definition_pixel_by_pixel():
    light = panorama(64)
    clipped = np.minimum(light, np.percentile(light, 99.9))
    degree = light.shape[1] / 360
    found = natural_scenes.contrast(light)
    for row, column in ((0, 0), (31, 5), (40, 127), (63, 64)):
        seen, mean = (slow_blur(clipped, sd * degree, row, column) for sd in (5.7 / 2.354820045, 20.0))
        assert found[row, column] == pytest.approx((seen - mean) / mean, rel=1e-8)


def test_contrast_does_not_depend_on_the_unit_of_light_or_on_where_azimuth_begins():
    light = panorama()
    found = natural_scenes.contrast(light)
    assert np.allclose(natural_scenes.contrast(1e4 * light), found, atol=1e-12)
    assert np.allclose(natural_scenes.contrast(np.roll(light, 17, axis=1)), np.roll(found, 17, axis=1), atol=1e-12)
    assert not np.allclose(natural_scenes.contrast(light**2), found, atol=0.1)


def test_a_sun_is_clipped_and_negative_light_is_none():
    light = panorama()
    with_sun = light.copy()
    with_sun[64, 100] = 3e4
    assert np.abs(natural_scenes.contrast(with_sun) - natural_scenes.contrast(light)).max() < 0.2
    assert np.abs(natural_scenes.contrast(with_sun, 100) - natural_scenes.contrast(light, 100)).max() > 5
    below = light.copy()
    below[3, 3] = -5.0
    zero = light.copy()
    zero[3, 3] = 0.0
    assert np.array_equal(natural_scenes.contrast(below), natural_scenes.contrast(zero))


def test_rows_are_those_near_the_horizon_at_927_columns():
    x = np.arange(256) * 2 * np.pi / 256
    image = np.repeat(np.cos(3 * x)[None] + 0.5 * np.sin(7 * x)[None], 128, axis=0)
    rows, elevation = natural_scenes.rows_of(image, every=4)
    y = np.arange(N_COLUMNS) * 2 * np.pi / N_COLUMNS
    assert np.allclose(rows, np.cos(3 * y) + 0.5 * np.sin(7 * y), atol=1e-12)  # band-limited: exact
    assert np.abs(elevation).max() <= 48.75
    assert np.allclose(np.diff(elevation), -4 * 180 / 128)


def test_pictures_are_read_as_linear_luminance(tmp_path):
    grey = np.full((64, 128, 3), 188, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    assert np.allclose(natural_scenes.read_luminance(tmp_path / "a.png"), 0.5029, atol=1e-3)  # sRGB 188: half the light
    cv2.imwrite(str(tmp_path / "b.png"), (grey.astype(np.uint16) * 257))
    assert np.allclose(natural_scenes.read_luminance(tmp_path / "b.png"), 0.5029, atol=1e-3)
    red = np.zeros((64, 128, 3), np.uint8)
    red[..., 2] = 255  # OpenCV's order: blue, green, red
    cv2.imwrite(str(tmp_path / "c.png"), red)
    assert np.allclose(natural_scenes.read_luminance(tmp_path / "c.png"), 0.2126)


def test_exr_pictures_are_read_also_in_base64(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    pixels = np.stack([panorama(64, seed) for seed in range(3)], axis=-1).astype(np.float32)
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"RGB": pixels}).write(str(tmp_path / "a.exr"))
    found = natural_scenes.read_luminance(tmp_path / "a.exr")
    assert np.allclose(found, pixels.astype(np.float64) @ [0.2126, 0.7152, 0.0722])
    text = base64.b64encode((tmp_path / "a.exr").read_bytes()).decode()
    (tmp_path / "b.exr.js").write_text(f"export default 'data:application/exr;base64,{text}'")
    assert np.array_equal(natural_scenes.read_luminance(tmp_path / "b.exr.js"), found)
    (tmp_path / "broken.exr").write_bytes((tmp_path / "a.exr").read_bytes()[:500])
    (tmp_path / "broken.exr.js").write_text("export default 'nothing'")
    for name in ("broken.exr", "broken.exr.js"):
        with pytest.raises(ValueError, match=rf"{name} is damaged or no EXR picture"):
            natural_scenes.read_luminance(tmp_path / name)


def test_without_its_reader_an_exr_is_refused_with_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"a\.exr: reading EXR takes a package: run pip install OpenEXR"):
        natural_scenes.read_luminance(tmp_path / "a.exr")


def test_what_is_no_panorama_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "photo.png"), rng.integers(0, 256, (300, 400), np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), rng.integers(0, 256, (32, 64), np.uint8))
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((128, 256), np.uint8))
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((128, 256), 9, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    half = panorama()
    half[:, :128] = 0
    for name, words in (
        ("photo.png", "no whole panorama: its 400 x 300"),
        ("small.png", "at least 128 wide"),
        ("black.png", "no light"),
        ("broken.jpg", "damaged or no picture"),
        ("empty.png", "damaged or no picture"),
        ("none.png", "not found"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            natural_scenes.read_luminance(tmp_path / name)
    with pytest.raises(ValueError, match=r"flat\.png has no contrast at"):
        natural_scenes.scenes_of([tmp_path / "flat.png"], [""])
    with pytest.raises(ValueError, match="black over tens of degrees"):
        natural_scenes.contrast(half)
    with pytest.raises(ValueError, match="no panorama in"):
        natural_scenes.panoramas_in(tmp_path / "nowhere")


def test_scenes_are_saved_and_damaged_ones_refused(tmp_path):
    scenes = natural_scenes.load(ROOT / "data" / "natural_scenes.npz")
    natural_scenes.save(tmp_path / "a.npz", scenes)
    again = natural_scenes.load(tmp_path / "a.npz")
    assert np.array_equal(again.rows, scenes.rows)
    assert again.names == scenes.names and again.sources == scenes.sources
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(content[: len(content) // 2])
    natural_scenes.save(tmp_path / "c.npz", Scenes(scenes.rows[:, :90], scenes.image, scenes.elevation, ("a",), ("",)))
    for name, words in (("b.npz", "damaged"), ("c.npz", "holds no rows of 927"), ("d.npz", "not found")):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            natural_scenes.load(tmp_path / name)


def test_the_file_that_comes_with_the_project_is_what_its_page_says():
    scenes = natural_scenes.load(ROOT / "data" / "natural_scenes.npz")
    assert len(scenes.names) == 25 and scenes.rows.shape == (875, 927)
    assert sum("Greg Zaal" in source for source in scenes.sources) == 8 and all("CC0" in s for s in scenes.sources)
    rows = scenes.of(range(25))
    assert np.allclose(rows.mean(axis=1), 0, atol=1e-12) and np.allclose(rows.std(axis=1), 1)


def test_results_on_other_scenes_have_names_of_their_own():
    assert natural_scenes.suffix(natural_scenes.OWN) == "" and natural_scenes.suffix("/a b/mine.npz") == "_mine"
    scenes = natural_scenes.load(ROOT / natural_scenes.OWN)
    other = replace(scenes, rows=scenes.rows + 1e-3)
    assert scenes.digest != other.digest and len(scenes.digest) == 10


def test_dealt_sets_share_no_panorama():
    scenes = natural_scenes.load(ROOT / "data" / "natural_scenes.npz")
    sets = scenes.deal(10)
    assert sorted(i for its in sets for i in its) == list(range(25)) and {len(its) for its in sets} == {2, 3}
    assert scenes.deal(10) == sets and scenes.deal(10, seed=1) != sets
    with pytest.raises(ValueError, match="25 panoramas cannot be dealt into 26 sets"):
        scenes.deal(26)


def test_randomised_phases_keep_every_power_spectrum_and_nothing_else():
    rows = natural_scenes.load(ROOT / "data" / "natural_scenes.npz").of([0])
    for its in (rows, rows[:, :-1]):  # an odd and an even number of columns
        found = natural_scenes.phase_randomised(its, np.random.default_rng(0))
        assert np.allclose(np.abs(np.fft.rfft(found)), np.abs(np.fft.rfft(its)), atol=1e-9)
        assert abs(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found, its, strict=True)])) < 0.2


def test_blurred_white_noise_has_the_spectrum_of_its_blur():
    rows = natural_scenes.blurred_white((4000, N_COLUMNS), np.random.default_rng(0))
    lag = 10
    found = np.mean(rows * np.roll(rows, lag, axis=1))
    sd = natural_scenes.blur_columns()
    mean = 2 * np.sqrt(np.pi) * sd / N_COLUMNS  # variance of a row's mean, which is taken off
    assert found == pytest.approx((np.exp(-(lag**2) / (4 * sd**2)) - mean) / (1 - mean), abs=0.01)


def test_a_folder_of_ones_own_panoramas_becomes_a_file(tmp_path):
    folder = tmp_path / "my panoramas"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), np.uint8(255 * panorama(128, i) / panorama(128, i).max()))
    script = [sys.executable, str(ROOT / "src" / "collect_natural_scenes.py"), str(folder), "--out"]
    out = tmp_path / "my.npz"

    def run(*options):
        return subprocess.run([*script, str(out), *options], capture_output=True, text=True, cwd=tmp_path)

    kept = {p: p.read_bytes() for p in (ROOT / "results").glob("collect_natural_scenes*") if p.is_file()}
    assert run("--smoke", "--leave-out", "my panoramas/1").returncode == 0
    assert run("--smoke", "--leave-out", "my panoramas/7").stderr.startswith(
        "error: --leave-out my panoramas/7 is none"
    )
    assert run("--smoke", "--sources", "a", "b").stderr.startswith("error: --sources must be one for each of 1 folders")
    assert {p: p.read_bytes() for p in (ROOT / "results").glob("collect_natural_scenes*") if p.is_file()} == kept
    out.write_bytes(b"")
    assert "is there: choose another place" in run().stderr
