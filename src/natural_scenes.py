"""Natural scenes as a fly sees them move past: panoramas -> luminance -> contrast -> rows, and controls of these.

    contrast = (blurred - local mean) / local mean       blurred: by a photoreceptor's acceptance function

A row is one line of a panorama, once around; moving past at 1 column per step it is the series of one photoreceptor.
`data/natural_scenes.npz` holds the rows of 25 panoramas (CC0; data/natural_scenes.md says whose), so that nothing needs
the panoramas themselves; `collect_natural_scenes.py` makes such a file of anybody's.
Source   recipe: Zavatone-Veth, Badwan & Clark 2020, J. Vision 20(12):2, as the code of Qin et al. 2025 uses it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage, signal

import resu_files
from resu_files import PathLike

OWN = "data/natural_scenes.npz"  # what comes with the project, from its folder
N_COLUMNS = 927  # of every row, once around: .388 degrees each
ACCEPTANCE_FWHM = 5.7  # of a photoreceptor [degrees]
LOCAL_SD = 20.0  # of the local mean [degrees]
ELEVATION = 48.75  # rows farther from the horizon are left out [degrees]
BRIGHTEST = 99.9  # percentile at which luminance is clipped: a sun of 30,000 times the sky would be all there is
PER_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # standard deviations
REC_709 = (0.2126, 0.7152, 0.0722)  # luminance of linear red, green, blue
SUFFIXES = (".exr", ".exr.js", ".png", ".jpg", ".jpeg")
LEAST_WIDTH = 128  # columns: fewer do not resolve the acceptance function


def blur_columns() -> float:
    """Standard deviation of the acceptance function [columns of a row]."""
    return ACCEPTANCE_FWHM / PER_FWHM * N_COLUMNS / 360


def read_luminance(path: PathLike) -> np.ndarray:
    """Linear luminance (H, W) float64 of an equirectangular panorama; unit as in the file.

    path      .exr (linear; needs the package OpenEXR), .exr.js (the same, in base64), .png or .jpg (sRGB of 8 or 16
              bits, which is made linear)
    Raises    ValueError naming the file if it is damaged, has not twice its height as its width, is too small, holds
              no finite light, or if OpenEXR is missing; FileNotFoundError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: give a panorama ({', '.join(SUFFIXES)})")
    pixels = _read_exr(path) if path.name.lower().endswith((".exr", ".exr.js")) else _read_srgb(path)
    luminance = pixels.astype(np.float64) @ REC_709 if pixels.ndim == 3 else pixels.astype(np.float64)
    height, width = luminance.shape
    if width < LEAST_WIDTH or abs(width - 2 * height) > 0.01 * width:
        raise ValueError(
            f"{path} is no whole panorama: its {width} x {height} pixels are not 360 x 180 degrees, twice as wide as "
            f"high and at least {LEAST_WIDTH} wide"
        )
    if not np.isfinite(luminance).all() or luminance.max() <= 0:
        raise ValueError(f"{path} holds values that are no light (not finite, or nowhere above 0)")
    return luminance


def _read_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise ValueError(f"{path}: reading EXR takes a package: run pip install OpenEXR") from error
    with tempfile.TemporaryDirectory() as folder:
        if path.name.lower().endswith(".js"):
            found = re.search(rb"base64,([A-Za-z0-9+/=]+)", path.read_bytes())
            content = base64.b64decode(found.group(1)) if found else b""
            path_read = Path(folder) / "panorama.exr"
            path_read.write_bytes(content)
        else:
            path_read = path
        try:
            with OpenEXR.File(str(path_read)) as file:
                channels = file.channels()
                if "RGB" in channels or "RGBA" in channels:
                    return np.asarray(channels["RGB" if "RGB" in channels else "RGBA"].pixels, np.float64)[..., :3]
                if "Y" in channels:
                    return np.asarray(channels["Y"].pixels, np.float64)
                raise ValueError(f"its channels are {', '.join(sorted(channels))}, not R, G and B")
        except Exception as error:  # the reader raises RuntimeError, ValueError and others: all mean the same
            raise ValueError(f"{path} is damaged or no EXR picture ({error})") from error


def _read_srgb(path: Path) -> np.ndarray:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR) if content.size else None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} is damaged or no picture of 8 or 16 bits")
    s = pixels[..., ::-1] / (255 if pixels.dtype == np.uint8 else 65535)
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def contrast(luminance: np.ndarray, brightest: float = BRIGHTEST) -> np.ndarray:
    """Contrast (H, W) float64 of a panorama: what a photoreceptor sees there, relative to the mean around it  [1].

    luminance   (H, W), 360 degrees wide; light below 0 (an artefact of compression) counts as 0
    brightest   percentile at which it is clipped; 100 for not at all
    Raises      ValueError if a region as wide as the local mean is wholly dark.
    """
    light = np.clip(luminance, 0.0, np.percentile(np.maximum(luminance, 0.0), brightest))
    degree = light.shape[1] / 360

    def blurred(sd: float) -> np.ndarray:  # azimuth is periodic, elevation ends at the poles
        return ndimage.gaussian_filter(light, sd * degree, mode=("nearest", "wrap"))

    mean = blurred(LOCAL_SD)
    if mean.min() <= 1e-12 * mean.max():
        raise ValueError("a part of the panorama is black over tens of degrees: it has no contrast there")
    return (blurred(ACCEPTANCE_FWHM / PER_FWHM) - mean) / mean


def rows_of(image: np.ndarray, every: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Every so many-th row of a contrast image (H, W) near the horizon: (R, N_COLUMNS) float64, and elevations (R,).

    every   rows of the panorama from one to the next
    """
    height = len(image)
    elevation = 90 - (np.arange(height) + 0.5) * 180 / height
    chosen = np.flatnonzero(np.abs(elevation) <= ELEVATION)[::every]
    return signal.resample(image[chosen], N_COLUMNS, axis=1), elevation[chosen]


@dataclass(frozen=True)
class Scenes:
    """Rows of some panoramas.

    rows        (R, N_COLUMNS) float64 contrast [1]
    image       (R,) which panorama a row is of, rising
    elevation   (R,) of each row, falling within a panorama [degrees]
    names       of the panoramas
    sources     where each is from, and under which licence
    """

    rows: np.ndarray
    image: np.ndarray
    elevation: np.ndarray
    names: tuple[str, ...]
    sources: tuple[str, ...]

    def of(self, images: Iterable[int]) -> np.ndarray:
        """Rows of these panoramas (R', N_COLUMNS), z-scored each: mean 0 and standard deviation 1 over a turn."""
        return _z_scored(np.concatenate([self.rows[self.image == i] for i in images]))

    @property
    def digest(self) -> str:
        """Ten characters that tell these rows from others."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).tobytes() + self.image.tobytes()).hexdigest()[:10]

    def deal(self, n_sets: int, seed: int = 0) -> list[tuple[int, ...]]:
        """The panoramas, shuffled and dealt like cards into n_sets sets, of which no two share one.

        Raises   ValueError if there are too few.
        """
        n = len(self.names)
        if not 1 <= n_sets <= n:
            raise ValueError(f"{n} panoramas cannot be dealt into {n_sets} sets of at least one")
        order = np.random.default_rng(seed).permutation(n)
        return [tuple(sorted(int(i) for i in order[k::n_sets])) for k in range(n_sets)]


def panoramas_in(folder: PathLike) -> list[Path]:
    """The panoramas in a folder, by name. Raises ValueError if there are none."""
    paths = [path for path in sorted(Path(folder).glob("*")) if path.name.lower().endswith(SUFFIXES)]
    if not paths:
        raise ValueError(f"no panorama in {folder}: give a folder of {', '.join(SUFFIXES)}")
    return paths


def name_of(path: Path) -> str:
    """The file's name without its suffix."""
    return re.sub(r"\.exr\.js$|\.[^.]+$", "", path.name, flags=re.IGNORECASE)


def scenes_of(paths: Sequence[Path], sources: Sequence[str]) -> Scenes:
    """Rows of panoramas, 2.8 degrees from one to the next. Raises ValueError naming one that cannot be used."""
    rows, image, elevations = [], [], []
    for i, path in enumerate(paths):
        luminance = read_luminance(path)
        try:
            its, elevation = rows_of(contrast(luminance), max(1, round(len(luminance) / 64)))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if (constant := its.std(axis=1) < 1e-9).any():
            raise ValueError(f"{path} has no contrast at {elevation[constant.argmax()]:.0f} degrees of elevation")
        rows.append(its)
        image.append(np.full(len(its), i))
        elevations.append(elevation)
    names, found = tuple(name_of(path) for path in paths), tuple(sources)
    return Scenes(np.concatenate(rows), np.concatenate(image), np.concatenate(elevations), names, found)


def save(path: PathLike, scenes: Scenes) -> None:
    """Write scenes; rows are rounded to float16 (relative error 5e-4, far below the noise that is added to them)."""
    resu_files.write_npz(
        path,
        compress=True,
        rows=scenes.rows.astype(np.float16),
        image=scenes.image.astype(np.int16),
        elevation=scenes.elevation.astype(np.float32),
        names=np.array(scenes.names),
        sources=np.array(scenes.sources),
    )


def load(path: PathLike) -> Scenes:
    """Scenes as `save` wrote them. Raises FileNotFoundError, or ValueError if the file holds something else."""
    remedy = "run python src/collect_natural_scenes.py FOLDER"
    found = resu_files.read_npz(path, ("rows", "image", "elevation", "names", "sources"), remedy)
    rows, image = found["rows"].astype(np.float64), found["image"].astype(np.int64)
    n, fits = len(found["names"]), rows.ndim == 2 and rows.shape[0] == len(image) == len(found["elevation"])
    if not (fits and rows.shape[1] == N_COLUMNS and np.isfinite(rows).all()) or sorted(set(image)) != list(range(n)):
        raise ValueError(f"{os.fspath(path)} holds no rows of {N_COLUMNS} columns by panorama: {remedy}")
    names, sources = (tuple(str(text) for text in found[key]) for key in ("names", "sources"))
    return Scenes(rows, image, found["elevation"].astype(np.float64), names, sources)


def suffix(path: PathLike) -> str:
    """What sets results on a file of scenes apart from those on the project's own, for the names of their files."""
    return "" if os.fspath(path) == OWN else f"_{Path(path).stem}"


def phase_randomised(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows (R, C) with the power spectra of these, and phases that are drawn anew for each."""
    spectrum = np.fft.rfft(rows, axis=1)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(spectrum.shape))
    turned[:, 0] = spectrum[:, 0]
    if rows.shape[1] % 2 == 0:
        turned[:, -1] = spectrum[:, -1]  # real, as that of any real row
    return np.fft.irfft(turned, rows.shape[1], axis=1)


def blurred_white(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Rows of independent pixels (R, C), blurred by the acceptance function and z-scored: no scene at all."""
    rows = ndimage.gaussian_filter1d(rng.standard_normal(shape), blur_columns(), axis=1, mode="wrap")
    return _z_scored(rows)


def _z_scored(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
