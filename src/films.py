"""Films: clones at play as GIFs, the ON/OFF maps of their code beside the game; and a picture of a code at work."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

import figures
from atari_env import STEPS_PER_SECOND, AtariEnv
from atari_play import EVALUATION, game_rngs, record_game
from cloning import Clone
from figures import BACKGROUND, OFF_COLOUR, ON_COLOUR, Figure
from resu_conv import ReSUEncoder
from resu_video import Clip, with_past

HEIGHT = 420  # of the game and of the maps beside it  [pixels]
COLOURS = 64  # of a GIF
NAME, GAP, WIDEST = 16, 4, 44  # line above a map with its name, space around maps, room for the longest name  [pixels]


def film(clone: Clone, seed: int, skip: float, seconds: float, title: str, game: str, **env_options: Any) -> bytes:
    """A GIF of a clone at play with the maps of its code: `seconds` of a game after leaving out `skip` seconds.

    Raises   ValueError if the game is over before the first picture.
    """
    assert isinstance(clone.code, ReSUEncoder)
    first, most = round(skip * STEPS_PER_SECOND), round((skip + seconds) * STEPS_PER_SECOND)
    rng = next(game_rngs((seed, EVALUATION)))
    recording = record_game(clone, rng, {"game": game, **env_options}, None, most, screens=True)
    assert recording.screens is not None
    if len(recording.actions) <= first:
        raise ValueError(
            f"this game lasted {len(recording.actions) / STEPS_PER_SECOND:.0f} s: skip less than {skip:g} s"
        )
    names = AtariEnv(game).action_names
    maps = clone.code.maps(recording.frames)[first:]
    actions = [names[action] for action in recording.actions[first:]]
    scores = np.concatenate([[0], recording.rewards.cumsum()[:-1]])[first:]
    return gameplay_gif(recording.screens[first:], maps, actions, scores, title, STEPS_PER_SECOND)


def of_clip(encoder: ReSUEncoder, clip: Clip, seconds: float, title: str) -> bytes:
    """A GIF of the first seconds of a clip with the maps of its code, STEPS_PER_SECOND pictures a second at most.

    Only what is drawn is kept, at the size at which it is drawn, and some frames.
    """
    fps = clip.fps or STEPS_PER_SECOND
    every = max(1, int(np.ceil(fps / STEPS_PER_SECOND - 1e-6)))
    side = HEIGHT // encoder.n_units - NAME - GAP
    screens: list[np.ndarray] = []
    maps: list[np.ndarray] = []
    pictures = itertools.islice(clip.pictures(), max(1, round(seconds * fps)))

    def blocks() -> Iterator[np.ndarray]:
        while some := list(itertools.islice(pictures, 16 * every)):
            colour = (np.stack([one] * 3, axis=-1) if one.ndim == 2 else one for one in some[::every])
            screens.extend(_at_most(one, HEIGHT) for one in colour)
            yield np.stack([clip.grey(picture) for picture in some])

    for frames, n_past in with_past(blocks(), encoder.memory - 1):
        maps += [np.stack([_at_most(one, side) for one in step]) for step in encoder.maps(frames)[n_past::every]]
    times = [f"{t * every / fps:.1f} s" for t in range(len(screens))]
    return gif(np.stack(screens), np.stack(maps), [[title, time] for time in times], fps / every)


def _at_most(picture: np.ndarray, height: int) -> np.ndarray:
    """A picture (h, w, ...) averaged over areas down to a height, if it is higher."""
    h, w = picture.shape[:2]
    if h > height:
        picture = cv2.resize(picture, (max(1, round(w * height / h)), height), interpolation=cv2.INTER_AREA)
    return picture


def at_work(clone: Clone, seed: int, step: int, title: str, game: str, **env_options: Any) -> Figure:
    """A picture of a clone's code at one step of a game: the past that it looks at, its filters, its maps."""
    assert isinstance(clone.code, ReSUEncoder)
    encoder = clone.code
    recording = record_game(
        clone, next(game_rngs((seed, EVALUATION))), {"game": game, **env_options}, None, step + encoder.memory
    )
    maps = encoder.maps(recording.frames)[-1]
    past = recording.frames[::-1][: encoder.memory]
    return figures.unit_at_work(past, encoder.filters_, encoder.correlations_, maps, title)


def image(
    screen: np.ndarray, maps: np.ndarray, full_scale: np.ndarray, lines: Sequence[str], names: Sequence[str] = ()
) -> np.ndarray:
    """One frame of a GIF: the screen on the left, the ON/OFF maps of the code on the right, text below.

    The name of each map stands on a line of its own above it; filters are numbered from 1.

    screen      (h, w, 3) uint8, of a game as the emulator shows it
    maps        (2K, H, W) float, ON maps first
    full_scale  (K,) response drawn at full brightness
    lines       text
    names       of the units (K,), in place of "filter 1" and so on
    Returns     (height, width, 3) uint8
    Raises      ValueError for more maps than fit below each other.
    """
    n_units = len(maps) // 2
    height, width = screen.shape[:2]
    kind = cv2.INTER_NEAREST if height <= HEIGHT else cv2.INTER_AREA
    screen = cv2.resize(screen, (max(1, round(HEIGHT * width / height)), HEIGHT), interpolation=kind)
    tile = HEIGHT // n_units
    side = tile - NAME - GAP
    if side < 1:
        raise ValueError(f"{n_units} maps below each other do not fit into {HEIGHT} pixels")
    wide = max(1, round(side * maps.shape[2] / maps.shape[1]))
    column = max(wide, WIDEST) + GAP
    panel = np.full((HEIGHT, 2 * column + GAP, 3), BACKGROUND, np.uint8)
    for i, one in enumerate(maps):
        unit, off = i % n_units, i >= n_units
        # The square root lets weak responses be seen; 6 levels keep the GIF small.
        level = np.rint(5 * np.sqrt(np.clip(one / full_scale[unit], 0, 1))) / 5
        colour = np.array(OFF_COLOUR if off else ON_COLOUR)
        picture = (BACKGROUND + level[..., None] * (colour - BACKGROUND)).astype(np.uint8)
        picture = cv2.resize(picture, (wide, side), interpolation=cv2.INTER_NEAREST)
        top, left = unit * tile + NAME, GAP + off * column
        panel[top : top + side, left : left + wide] = picture
        name = f"{names[unit]} {'OFF' if off else 'ON'}" if names else figures.map_name(i, n_units)
        cv2.putText(panel, name, (left + 1, top - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (200,) * 3)
    body = np.concatenate([screen, panel], axis=1)
    footer = np.full((8 + 18 * len(lines), body.shape[1], 3), BACKGROUND, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(footer, line, (8, 18 + 18 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235,) * 3)
    return np.concatenate([body, footer])


def gameplay_gif(
    screens: np.ndarray, maps: np.ndarray, actions: Sequence[str], scores: np.ndarray, title: str, fps: int
) -> bytes:
    """A GIF of T steps of play, as the bytes of the file.

    screens (T, 210, 160, 3) uint8, maps (T, 2K, H, W) float, actions and scores: what was done and the points so far
    """
    below = [f"score {score:+.0f}    action {action}" for action, score in zip(actions, scores, strict=True)]
    return gif(screens, maps, [[title, line] for line in below], fps)


def gif(
    screens: np.ndarray, maps: np.ndarray, lines: Sequence[Sequence[str]], fps: float, names: Sequence[str] = ()
) -> bytes:
    """A GIF of T steps, as the bytes of the file: screens (T, h, w, 3) uint8, maps (T, 2K, H, W), text below each.

    names   of the units (K,), as in `image`
    """
    n_units = maps.shape[1] // 2
    both = np.maximum(maps[:, :n_units], maps[:, n_units:])
    seen = [both[:, k][both[:, k] > 0] for k in range(n_units)]
    full_scale = np.array([np.quantile(positive, 0.995) if positive.size else 1.0 for positive in seen])
    images = [
        image(screen, on_off, full_scale, text, names)
        for screen, on_off, text in zip(screens, maps, lines, strict=True)
    ]
    palette = Image.fromarray(np.concatenate(images[:: -(-len(images) // 8)])).quantize(
        COLOURS, Image.Quantize.FASTOCTREE
    )
    # Dithered, what rests would flicker, and the file be twice as large.
    first, *rest = (Image.fromarray(one).quantize(palette=palette, dither=Image.Dither.NONE) for one in images)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
    return file.getvalue()
