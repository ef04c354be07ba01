"""A video that is no game, drawn: a flock of birds (Reynolds' rules, 1987) under clouds that drift at two speeds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np

import resu_files

FPS = 25
HEIGHT, WIDTH = 240, 320
BLUE, WHITE, DARK = np.array([92, 142, 196]), np.array([244, 240, 234]), (38, 34, 40)
SPEED, SIGHT, ROOM = 2.4, 42.0, 12.0  # of a bird: pixels a picture; what it sees, what it keeps free  [pixels]


def clouds(rng: np.random.Generator, width: int) -> np.ndarray:
    """(HEIGHT, width) float32 in 0 .. 1 that closes on itself: noise whose amplitude falls as a power of frequency."""
    y, x = np.fft.fftfreq(HEIGHT)[:, None] * HEIGHT, np.fft.rfftfreq(width)[None] * width * HEIGHT / width
    fall = np.maximum(np.hypot(y, 2.2 * x), 1) ** -2.6  # wider than high
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((HEIGHT, width))) * fall, (HEIGHT, width))
    return np.clip(noise / noise.std() * 0.45 + 0.2, 0, 1).astype(np.float32)


def flock(rng: np.random.Generator, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Places (n, 2), speeds (n, 2)  [pixels, pixels a picture; x, y] and wing beats (n,)  [rad], for ever."""
    place = rng.uniform([60, 60], [WIDTH - 60, HEIGHT - 60], (n, 2))
    speed = rng.normal(0, SPEED, (n, 2))
    beat, rate = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 0.9, n)
    while True:
        apart = place[None] - place[:, None]  # from bird i to bird j
        distance = np.hypot(*np.moveaxis(apart, -1, 0)) + 1e5 * np.eye(n)
        sees, crowds = (distance < SIGHT)[..., None], (distance < ROOM)[..., None]
        others = np.maximum(sees.sum(axis=1), 1)
        push = (speed[None] * sees).sum(axis=1) / others - speed * (sees.any(axis=1))  # fly as they do,
        push = 0.06 * push + 0.004 * (apart * sees).sum(axis=1) / others  # where they are,
        push -= 0.03 * (apart * crowds).sum(axis=1)  # but not into them,
        push += 0.0012 * (np.array([WIDTH, HEIGHT]) / 2 - place) + rng.normal(0, 0.06, (n, 2))  # and not away
        speed = speed + push
        speed *= SPEED / np.maximum(np.hypot(*speed.T), 1e-9)[:, None]
        place, beat = place + speed, beat + rate
        yield place, speed, beat


def pictures(seed: int, n_birds: int) -> Iterator[np.ndarray]:
    """(HEIGHT, WIDTH, 3) uint8, for ever."""
    rng = np.random.default_rng(seed)
    far, near = clouds(rng, 2 * WIDTH), clouds(rng, 2 * WIDTH)
    sky = BLUE * np.linspace(0.8, 1.25, HEIGHT)[:, None, None]
    for t, (place, speed, beat) in enumerate(flock(rng, n_birds)):
        cover = 1 - (1 - 0.7 * drifted(far, 0.21 * t)) * (1 - 0.8 * drifted(near, 0.83 * t))
        picture = np.clip(sky + (WHITE - sky) * cover[..., None], 0, 255).astype(np.uint8)
        for bird in zip(place, speed, beat, strict=True):
            draw_bird(picture, *bird)
        yield picture


def drifted(layer: np.ndarray, by: float) -> np.ndarray:
    """(HEIGHT, WIDTH) of a layer that closes on itself, moved to the left by a number of pixels, between two pixels."""
    whole, part = int(by), np.float32(by % 1)
    left, right = (np.take(layer, np.arange(WIDTH) + whole + more, axis=1, mode="wrap") for more in (0, 1))
    return left * (1 - part) + right * part


def draw_bird(picture: np.ndarray, place: np.ndarray, speed: np.ndarray, beat: float) -> None:
    """Two wings and a body, turned as it flies; the wings look shorter while they are up or down."""
    along = speed / np.hypot(*speed)
    across = np.array([-along[1], along[0]]) * (3.2 + 2.6 * np.cos(beat))
    points = [place - across - 2.2 * along, place + 1.6 * along, place + across - 2.2 * along]
    fine = [np.rint(16 * point).astype(int).tolist() for point in points]
    for a, b in (fine[:2], fine[1:]):
        cv2.line(picture, a, b, DARK, 2, cv2.LINE_AA, 4)


def write_video(path: resu_files.PathLike, seed: int, n_birds: int, n: int) -> None:
    """The first n pictures as an .mp4 file (MPEG-4 part 2), whole or not at all; the same seed gives the same bytes."""

    def write(file: object) -> None:
        with av.open(file, "w", format="mp4") as container:
            good = {"flags": "+qscale", "global_quality": "354"}  # 118 times FFmpeg's quantiser, 3
            stream = container.add_stream("mpeg4", rate=Fraction(FPS), options=good)  # x264's bytes vary
            stream.codec_context.thread_count = 1  # what more threads write depends on their number
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for _, picture in zip(range(n), pictures(seed, n_birds), strict=False):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
            container.mux(stream.encode())

    resu_files.write_atomically(path, write)
