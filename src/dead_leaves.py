"""Dead leaves: images of occluding discs, and what a photoreceptor sees of them in motion.

draw_image -> photoreceptor_blur -> scan -> z_score -> add_noise gives (T, P) series for `resu_core`: T steps, P image
rows. Images are periodic in both directions (a torus), lengths are pixels, and 1 pixel is 1 step at speed 1. All
randomness comes from the np.random.Generator that is handed in.
"""

import numpy as np
from scipy import interpolate, ndimage


def draw_radii(n: int, r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """Radii (n,) [pixels] with density proportional to r^-3 between r_min and r_max (inverse of the distribution).

    Raises   ValueError unless 0 < r_min < r_max, both finite.
    Source   the exponent of scale invariance: Lee, Mumford & Huang 2001, Int. J. Computer Vision 41, 35-59.
    """
    if not 0 < r_min < r_max < np.inf:
        raise ValueError(f"radii need 0 < r_min < r_max, not {r_min} and {r_max}")
    return (r_min**-2.0 - rng.random(n) * (r_min**-2.0 - r_max**-2.0)) ** -0.5


def _ranges(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers of the ranges first_i .. first_i + count_i - 1, and the i that each belongs to."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, first[owner] + np.arange(len(owner)) - (np.cumsum(count) - count)[owner]


def paint(canvas: np.ndarray, y: np.ndarray, x: np.ndarray, radii: np.ndarray, greys: np.ndarray) -> None:
    """Lay discs behind what the canvas shows, front first: fill, in place, pixels that are NaN and within a disc.

    canvas   (H, W) float64, NaN where nothing lies yet, periodic
    y, x     (n,) centres [pixels], y in [0, H), x in [0, W)     radii (n,) [pixels], at most half of H and W
    greys    (n,) grey value of each disc
    A pixel belongs to a disc if its centre, an integer position, is within the radius.
    """
    height, width = canvas.shape
    flat = canvas.reshape(-1)
    top = np.ceil(y - radii).astype(np.int64)
    disc, row = _ranges(top, np.floor(y + radii).astype(np.int64) - top + 1)
    half = np.sqrt(np.maximum(radii[disc] ** 2 - (row - y[disc]) ** 2, 0))
    left = np.ceil(x[disc] - half).astype(np.int64)
    span, column = _ranges(left, np.floor(x[disc] + half).astype(np.int64) - left + 1)
    pixel = row[span] % height * width + column % width
    seen = np.isnan(flat[pixel])
    pixel, grey = pixel[seen], greys[disc[span[seen]]]
    flat[pixel[::-1]] = grey[::-1]  # of several discs over a pixel the last one written, the foremost, stays


def draw_image(shape: tuple[int, int], r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """One periodic dead-leaves image (H, W) float64: discs of power-law radii at uniform places, grey values in [0, 1).

    Discs are laid from the front until every pixel is covered, so that the image is an exact sample of the stationary
    model, not one that depends on how many discs were laid.
    shape         (H, W) [pixels]
    r_min, r_max  [pixels], 0.5 <= r_min < r_max, and r_max at most half of H and of W (no disc meets itself)
    Raises        ValueError if shape or a radius is out of range.
    Source        model: Lee, Mumford & Huang 2001; sampling: Kendall & Thönnes 1999, Pattern Recognition 32, 1569-1586
    """
    height, width = shape
    for name, value in (("height", height), ("width", width)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, not {value!r}")
    if not 0.5 <= r_min < r_max:
        raise ValueError(f"radii need 0.5 <= r_min < r_max, not {r_min} and {r_max}")
    if 2 * r_max > min(shape):
        raise ValueError(f"r_max = {r_max} does not fit twice into an image of {height} x {width} pixels")
    mean_area = 2 * np.pi * np.log(r_max / r_min) / (r_min**-2.0 - r_max**-2.0)
    n = max(1, int(min(1_000_000, 4 * height * width) / mean_area))  # discs per batch: bounds the memory
    canvas = np.full((height, width), np.nan)
    while np.isnan(canvas).any():
        y, x = rng.random(n) * height, rng.random(n) * width
        paint(canvas, y, x, draw_radii(n, r_min, r_max, rng), rng.random(n))
    return canvas


def photoreceptor_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """image (H, W) under a Gaussian acceptance function of standard deviation sigma [pixels], periodic; 0 is no blur.

    Raises   ValueError if sigma is negative or not finite.
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"the blur must be a finite number of at least 0, not {sigma}")
    return ndimage.gaussian_filter(image, sigma, mode="wrap")


def scan(image: np.ndarray, speed: float, n_steps: int | None = None) -> np.ndarray:
    """What one photoreceptor per row sees while the image (H, W) moves past: series (T, H), step t at column speed * t.

    speed     > 0 [pixels per step], constant; between columns a periodic cubic spline, which wants a blurred image
    n_steps   T; None: once around, floor(W / speed)
    Raises    ValueError if speed or n_steps is out of range.
    """
    if not (np.isfinite(speed) and speed > 0):
        raise ValueError(f"the speed must be a positive number, not {speed}")
    width = image.shape[1]
    n_steps = int(width / speed) if n_steps is None else n_steps
    if n_steps < 1:
        raise ValueError(f"a scan needs at least one step, not {n_steps}")
    columns = np.arange(n_steps) * speed % width
    if float(speed).is_integer():
        return np.ascontiguousarray(image[:, columns.astype(np.int64)].T)
    closed = np.concatenate([image, image[:, :1]], axis=1)
    spline = interpolate.CubicSpline(np.arange(width + 1), closed.T, axis=0, bc_type="periodic")
    return spline(columns)


def z_score(series: np.ndarray) -> np.ndarray:
    """series (T, P) with mean 0 and standard deviation 1 over time, column by column.

    Raises   ValueError if a series is constant.
    """
    spread = series.std(axis=0)
    # A constant column keeps a spread of rounding errors.
    constant = spread <= 1e-12 * np.abs(series).max(axis=0)
    if constant.any():
        raise ValueError(f"series {int(np.argmax(constant))} is constant and has no z-score")
    return (series - series.mean(axis=0)) / spread


def add_noise(series: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """series (T, P) plus white Gaussian noise of standard deviation sd, in the unit of the series.

    Raises   ValueError if sd is negative or not finite.
    """
    if not (np.isfinite(sd) and sd >= 0):
        raise ValueError(f"the noise must be a finite number of at least 0, not {sd}")
    return series + sd * rng.standard_normal(series.shape)
