"""Clips: a video in is an array in, whatever the kind, and what is no clip is refused in one sentence."""

import tracemalloc
from pathlib import Path

import av
import cv2
import imageio.v3 as iio
import numpy as np
import pytest

import films
import flock
import resu_files
import resu_video
from resu_conv import ReSUEncoder
from resu_video import Clip

OPTIONS = {"memory": 5, "horizon": 3, "n_units": 3, "grid": (4, 5)}


def colours(t: int = 60, height: int = 36, width: int = 51) -> np.ndarray:
    """(t, height, width, 3) uint8 that moves."""
    steps, y, x = np.arange(t)[:, None, None], np.arange(height)[:, None], np.arange(width)
    wave = (127 + 100 * np.sin((x + 2 * steps) / 5) * np.cos((y - steps) / 7)).astype(np.uint8)
    return np.stack([wave, np.roll(wave, 9, axis=2), 255 - wave], axis=-1)


def grey(pictures: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 in real numbers: within one grey level of what is expected."""
    return pictures[..., :3].astype(np.float64) @ [0.299, 0.587, 0.114]


def written(folder: Path, kind: str, pictures: np.ndarray) -> Path:
    """The pictures in a file of a kind that loses nothing."""
    path = folder / f"clip.{kind}"
    if kind == "npy":
        resu_files.write_npy(path, pictures)
    elif kind == "npz":
        resu_files.write_npz(path, compress=True, frames=pictures, other=np.arange(3))
    elif kind == "folder":
        path = folder / "pictures"
        path.mkdir()
        for i, picture in enumerate(pictures):
            iio.imwrite(path / f"shot {i}.png", picture)  # "shot 10" comes after "shot 9"
        (path / "notes.txt").write_text("no picture")
    elif kind == "gif":
        iio.imwrite(path, pictures, plugin="pillow", duration=40)
    else:  # FFV1 loses nothing, in bgr0
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "bgr0"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "folder", "gif", "mkv", "avi"])
def test_a_clip_in_is_an_array_in(kind, tmp_path):
    pictures = colours()
    if kind == "gif":  # has 256 colours
        pictures = pictures // 64 * 64
    path = written(tmp_path, kind, pictures)
    clip = Clip(path)
    assert clip.shape == (36, 51) and clip.n_frames == 60 and clip.path == str(path)
    assert clip.fps == (25 if kind in ("gif", "mkv", "avi") else None)
    assert np.array_equal(np.stack(list(clip.pictures())), pictures)
    blocks = list(clip.blocks(17))
    assert [len(block) for block in blocks] == [17, 17, 17, 9]
    frames = np.concatenate(blocks)
    assert np.abs(frames - grey(pictures)).max() <= 1
    fitted, whole = resu_video.fit(path, **OPTIONS), ReSUEncoder(**OPTIONS).fit([frames])
    assert np.array_equal(fitted.filters_, whole.filters_) and fitted.moments_ == whole.moments_
    told: list[int] = []
    assert resu_video.encode_file(fitted, path, tmp_path / "features.npy", progress=told.append) == 60
    assert np.array_equal(np.load(tmp_path / "features.npy"), whole.encode(frames)) and sum(told) == 60


def test_features_do_not_depend_on_where_blocks_end(tmp_path, monkeypatch):
    frames = grey(colours()).astype(np.uint8)
    path = written(tmp_path, "npy", frames)
    encoder = ReSUEncoder(**OPTIONS).fit([frames])
    for size in (1, 2, 4, 7, 60, 100):
        monkeypatch.setattr(resu_video, "BLOCK", size)
        parts = list(resu_video.encode_blocks(encoder, Clip(path)))
        assert len(parts) == -(-60 // size) and np.array_equal(np.concatenate(parts), encoder.encode(frames))
        assert resu_video.fit(path, **OPTIONS).moments_ == encoder.moments_


def test_blocks_of_large_frames_are_shorter(tmp_path):
    resu_files.write_npy(tmp_path / "large.npy", np.zeros((70, 1080, 1920), np.uint8))
    clip = Clip(tmp_path / "large.npy")
    assert [len(block) for block in clip.blocks()] == [32, 32, 6]
    assert [len(block) for block in Clip(tmp_path / "large.npy", (9, 16)).blocks()] == [70]


def test_several_clips_are_episodes_and_may_be_resized(tmp_path):
    large, small = colours(), colours(40, 24, 30)
    paths = [written(tmp_path, "npz", large), written(tmp_path, "npy", small)]
    with pytest.raises(ValueError, match=r"24 x 30 pixels, .*clip.npz of 36 x 51: give a size"):
        resu_video.fit(paths, **OPTIONS)
    fitted = resu_video.fit(paths, size=(18, 20), **OPTIONS)
    episodes = [
        np.stack([cv2.resize(np.concatenate(list(Clip(path).blocks()))[t], (20, 18), interpolation=cv2.INTER_AREA)
                  for t in range(n)])
        for path, n in zip(paths, (60, 40), strict=True)
    ]  # fmt: skip
    assert fitted.moments_ == ReSUEncoder(**OPTIONS).fit(episodes).moments_
    assert fitted.moments_.n_windows == 60 + 40 - 2 * 7


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_transparency_counts_as_opaque_and_one_channel_as_grey(channels, tmp_path):
    frames = colours(20)[..., [0, 1, 2, 0]]
    shown = [frames[..., :1], frames[..., [0, 3]], None, frames][channels - 1]
    for t, picture in enumerate(shown):
        iio.imwrite(tmp_path / f"{t}.png", picture[..., 0] if channels == 1 else picture)
    found = np.concatenate(list(Clip(tmp_path).blocks()))
    wanted = frames[..., 0] if channels < 3 else grey(frames)
    assert np.abs(found - wanted.astype(float)).max() <= (0 if channels < 3 else 1)


def test_memory_does_not_grow_with_length(tmp_path):
    peaks = []
    for t in (600, 2400):
        frames = np.random.default_rng(0).integers(0, 256, (t, 60, 80)).astype(np.uint8)
        path = written(tmp_path, "npz", frames)
        del frames
        encoder = resu_video.fit(path, **OPTIONS)
        tracemalloc.start()
        resu_video.fit(path, **OPTIONS)
        resu_video.encode_file(encoder, path, tmp_path / "features.npy")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] + 100_000


def damaged(folder: Path, kind: str) -> Path:
    path = written(folder, kind, colours() // 64 * 64)
    if kind == "folder":
        (path / "shot 7.png").write_bytes((path / "shot 7.png").read_bytes()[:200])
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    ("kind", "why"),
    [("npy", "cut short: it ends after .* and should have 60"), ("npz", "is damaged or not a video"),
     ("folder", r"shot 7\.png is damaged"), ("gif", "is damaged or not a video"), ("mkv", "cut short: it ends after"),
     ("avi", "cut short: it ends after")],
)  # fmt: skip
def test_half_a_clip_is_refused_and_nothing_is_left_of_its_features(kind, why, tmp_path):
    path = damaged(tmp_path, kind)
    encoder = ReSUEncoder(**OPTIONS).fit([grey(colours()).astype(np.uint8)])
    for use in (lambda: resu_video.fit(path, **OPTIONS),
                lambda: resu_video.encode_file(encoder, path, tmp_path / "out" / "features.npy")):  # fmt: skip
        with pytest.raises(ValueError, match=why) as error:
            use()
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_is_no_clip_is_one_sentence(tmp_path):
    video = written(tmp_path, "mkv", colours())
    contents = video.read_bytes()
    (tmp_path / "codec.mkv").write_bytes(contents.replace(b"V_FFV1", b"V_FFVX"))
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.gif").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    resu_files.write_npy(tmp_path / "floats.npy", np.zeros((9, 8, 8)))
    resu_files.write_npz(tmp_path / "two.npz", a=np.zeros((9, 8, 8), np.uint8), b=np.zeros((9, 8, 8), np.uint8))
    (tmp_path / "deep").mkdir()
    iio.imwrite(tmp_path / "deep" / "a.png", np.zeros((8, 8), np.uint16))
    (tmp_path / "sizes").mkdir()
    for t, height in enumerate((8, 8, 9)):
        iio.imwrite(tmp_path / "sizes" / f"{t}.png", np.zeros((height, 8), np.uint8))
    for name, why in (
        ("codec.mkv", "no decoder for it"), ("text.mp4", "damaged or not a video"), ("empty.gif", "damaged or not"),
        ("empty", "holds no pictures"), ("floats.npy", "not float64 of shape"), ("two.npz", "2 of its arrays could be"),
        ("deep", "8 bits a channel"), ("sizes", "picture 2 has 9 x 8 pixels, the first one 8 x 8"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why) as error:
            list(Clip(tmp_path / name).blocks())
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4 not found"):
        Clip(tmp_path / "gone.mp4")
    for size in ((3,), (0, 4), 5, (2.5, 4)):
        with pytest.raises(ValueError, match="must be"):
            Clip(video, size)
    with pytest.raises(ValueError, match="no clips to fit on"):
        resu_video.fit([])
    with pytest.raises(ValueError, match="no clip has memory"):
        resu_video.fit(written(tmp_path, "npy", colours(7)), **OPTIONS)
    deep = ReSUEncoder(n_layers=2, n_units2=2, **OPTIONS).fit([grey(colours()).astype(np.uint8)])
    for use in (lambda: resu_video.fit(video, n_layers=2), lambda: resu_video.encode_file(deep, video, "features.npy")):
        with pytest.raises(ValueError, match="n_layers must be 1"):
            use()


@pytest.mark.parametrize("kind", ["npy", "mkv"])
def test_a_film_shows_the_clip_beside_the_maps_of_its_code(kind, tmp_path):
    pictures = colours(90, 40, 60)
    path = written(tmp_path, kind, pictures)
    encoder = resu_video.fit(path, **(OPTIONS | {"memory": 4}))  # three frames go before a block
    (tmp_path / "film.gif").write_bytes(films.of_clip(encoder, Clip(path), 2.0, "waves"))
    film = iio.imread(tmp_path / "film.gif")
    every = 2 if kind == "mkv" else 1  # of 25 a second, or of 15
    assert len(film) == (25 if kind == "mkv" else 30)
    step = 20  # of the second block
    maps = encoder.maps(np.concatenate(list(Clip(path).blocks())))
    side = films.HEIGHT // 3 - films.NAME - films.GAP
    wide = round(side * 60 / 40)
    shown = film[step][films.NAME : films.NAME + side, films.HEIGHT * 60 // 40 + films.GAP :][:, :wide]
    lit = cv2.resize((shown.max(axis=-1) > 60).astype(np.float32), (60, 40), interpolation=cv2.INTER_AREA) > 0.5
    alike = [np.corrcoef(lit.ravel(), maps[t, 0].ravel())[0, 1] for t in range(90)]
    assert alike[step * every] == max(alike[step * every - 3 : step * every + 4]) > 0.6
    assert np.corrcoef(lit.ravel(), maps[step * every, 3].ravel())[0, 1] < 0  # OFF is dark there
    left = cv2.resize(film[step][: films.HEIGHT, : films.HEIGHT * 60 // 40], (60, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(left.astype(float) - pictures[step * every]).mean() < 20


def test_the_flock_is_the_same_for_the_same_seed_and_another_for_another(tmp_path):
    found = []
    for seed in (0, 0, 1):
        flock.write_video(str(tmp_path / "flock.mp4"), seed, 5, 30)
        found.append((tmp_path / "flock.mp4").read_bytes())
    assert found[0] == found[1] != found[2]
    clip = Clip(tmp_path / "flock.mp4")
    frames = np.concatenate(list(clip.blocks()))
    assert frames.shape == (30, 240, 320) and clip.n_frames == 30 and clip.fps == 25
    wanted = [picture for _, picture in zip(range(30), flock.pictures(1, 5), strict=False)]
    assert np.abs(frames - grey(np.stack(wanted))).mean() < 3
