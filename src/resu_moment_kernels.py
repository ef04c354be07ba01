"""The compiled loops of the moments: lag products of frames and of spectra. Arrays in, arrays out, nothing else.

T frames, P pixels (or parallel series), L lags.

Frames have two loops. The *dense* one touches every pixel of every frame. The *event-driven* one does work only where
a pixel changed: Atari screens hardly move. Integer inputs are summed in int64, so both give the same bits, and so does
any split of the frames over blocks and threads.
"""

import numpy as np

from resu_numba import njit

TILE = 16_384  # pixels per inner product tile: 255^2 * TILE < 2^31, and a tile of every lag stays in the L2 cache


@njit()
def _dot_u8(a, b):
    """Inner product of two uint8 vectors, exact for any length (int32 within a tile, int64 across tiles)."""
    total = np.int64(0)
    for lo in range(0, a.size, TILE):
        a_tile, b_tile = a[lo : lo + TILE], b[lo : lo + TILE]
        part = np.int32(0)
        for p in range(a_tile.size):  # the casts keep it 32 bits wide, which compiles to vpmaddwd
            part = np.int32(part + np.int32(np.int32(a_tile[p]) * np.int32(b_tile[p])))
        total += part
    return total


@njit()
def _twelve_dots_u8(one, two, later, out):
    """<one, later[k]> and <two, later[k + 1]> for k = 0 .. 5, exact below 2^31: later seven frames, out (2, 6) int64.

    Bytes are widened before they are multiplied, which takes the most time: side by side, products share frames.
    """
    b0, b1, b2, b3, b4, b5, b6 = later
    s0 = s1 = s2 = s3 = s4 = s5 = np.int32(0)
    r0 = r1 = r2 = r3 = r4 = r5 = np.int32(0)
    for p in range(one.size):
        v, w = np.int32(one[p]), np.int32(two[p])
        x0, x1, x2, x3 = np.int32(b0[p]), np.int32(b1[p]), np.int32(b2[p]), np.int32(b3[p])
        x4, x5, x6 = np.int32(b4[p]), np.int32(b5[p]), np.int32(b6[p])
        s0 = np.int32(s0 + np.int32(v * x0))
        s1 = np.int32(s1 + np.int32(v * x1))
        s2 = np.int32(s2 + np.int32(v * x2))
        s3 = np.int32(s3 + np.int32(v * x3))
        s4 = np.int32(s4 + np.int32(v * x4))
        s5 = np.int32(s5 + np.int32(v * x5))
        r0 = np.int32(r0 + np.int32(w * x1))
        r1 = np.int32(r1 + np.int32(w * x2))
        r2 = np.int32(r2 + np.int32(w * x3))
        r3 = np.int32(r3 + np.int32(w * x4))
        r4 = np.int32(r4 + np.int32(w * x5))
        r5 = np.int32(r5 + np.int32(w * x6))
    out[0, 0], out[0, 1], out[0, 2], out[0, 3], out[0, 4], out[0, 5] = s0, s1, s2, s3, s4, s5
    out[1, 0], out[1, 1], out[1, 2], out[1, 3], out[1, 4], out[1, 5] = r0, r1, r2, r3, r4, r5


@njit(nogil=True)
def lag_products_u8(x, n_lags, start, stop, products, total):
    """Dense pass over a block of uint8 frames, start .. stop - 1.

    x         (T, P) uint8, C-contiguous
    products  (T, L) int64, in rows start .. stop - 1 filled with <x_t, x_{t+k}> for t + k < T (the rest is left alone)
    total     (P,) int64, filled with the per-pixel sums of the block
    """
    n_frames, n_pixels = x.shape
    partial = np.zeros(n_pixels, np.int32)  # (stop - start) * 255 < 2^31
    found, last = np.empty((2, 6), np.int64), n_frames - 1
    for t in range(start, stop, 2):
        two = min(t + 1, last)
        for k in range(0, min(n_lags, n_frames - t), 6):
            n_one = min(6, n_lags - k, n_frames - t - k)
            n_two = min(6, n_lags - k, n_frames - t - 1 - k) if t + 1 < stop else 0
            products[t, k : k + n_one] = 0
            if n_two > 0:
                products[t + 1, k : k + n_two] = 0
            for lo in range(0, n_pixels, TILE):
                frames = x[:, lo : lo + TILE]
                later = (
                    frames[t + k],
                    frames[min(t + k + 1, last)],
                    frames[min(t + k + 2, last)],
                    frames[min(t + k + 3, last)],
                    frames[min(t + k + 4, last)],
                    frames[min(t + k + 5, last)],
                    frames[min(t + k + 6, last)],
                )
                _twelve_dots_u8(frames[t], frames[two], later, found)
                for g in range(n_one):
                    products[t, k + g] += found[0, g]
                for g in range(n_two):
                    products[t + 1, k + g] += found[1, g]
        for p in range(n_pixels):
            partial[p] = np.int32(partial[p] + np.int32(x[t, p]))
        if t + 1 < stop:
            for p in range(n_pixels):
                partial[p] = np.int32(partial[p] + np.int32(x[t + 1, p]))
    for p in range(n_pixels):
        total[p] = partial[p]


@njit(nogil=True)
def lag_products_f64(x, n_lags, start, stop, products, total):
    """Dense pass over a block of float64 series; arguments as in `lag_products_u8` with float64 outputs."""
    n_frames, n_pixels = x.shape
    total[:] = 0.0
    for t in range(start, stop):
        for k in range(min(n_lags, n_frames - t)):
            product = 0.0
            for p in range(n_pixels):
                product += x[t, p] * x[t + k, p]
            products[t, k] = product
        for p in range(n_pixels):
            total[p] += x[t, p]


@njit(nogil=True)
def frame_sums_u8(x, start, stop, sums):
    """Sums of frames start .. stop - 1: x (T, P) uint8, C-contiguous -> sums (T,) int64, these entries filled."""
    for t in range(start, stop):
        total = np.int64(0)
        for lo in range(0, x.shape[1], TILE):
            tile = x[t, lo : lo + TILE]
            part = np.int32(0)
            for p in range(tile.size):
                part = np.int32(part + np.int32(tile[p]))
            total += part
        sums[t] = total


@njit()
def changes(old, new, found):
    """Indices of the pixels that differ between two uint8 frames; returns how many were written to `found`.

    Frames are compared eight pixels at a time where their length allows it.
    """
    n = 0
    if old.size % 8 == 0:
        old8, new8 = old.view(np.uint64), new.view(np.uint64)
        for w in range(old8.size):
            if old8[w] != new8[w]:
                for p in range(8 * w, 8 * w + 8):
                    if old[p] != new[p]:
                        found[n] = p
                        n += 1
    else:
        for p in range(old.size):
            if old[p] != new[p]:
                found[n] = p
                n += 1
    return n


@njit(nogil=True)
def lag_products_events(x, n_lags, start, stop, products, total):
    """Event-driven pass over a block of uint8 frames; arguments and result as in `lag_products_u8`.

    With e = x_{t+1} - x_t, nonzero only at changed pixels, the product rule gives
        d_k(t+1) = d_k(t) + <e_t, x_{t+1+k}> + <x_t, e_{t+k}>.
    The block starts from a dense evaluation.
    """
    n_frames, n_pixels = x.shape
    found = np.empty(n_pixels, np.int32)
    step = np.zeros((stop - start, n_lags), np.int64)  # step[t - start] = d(t + 1) - d(t)
    for p in range(n_pixels):
        total[p] = np.int64(x[start, p]) * (stop - start)
    for t in range(start, min(stop + n_lags, n_frames) - 1):
        n_found = changes(x[t], x[t + 1], found)
        inside = t < stop - 1
        n_after = min(n_lags, n_frames - t - 1) if inside else 0  # lags k with t + 1 + k < T
        first_lag = max(0, t - (stop - 2))  # source frame t - k must be a step of this block
        last_lag = min(n_lags - 1, t - start)
        for i in range(n_found):
            p = found[i]
            change = np.int64(x[t + 1, p]) - np.int64(x[t, p])
            if inside:
                total[p] += change * (stop - 1 - t)
            for k in range(n_after):
                step[t - start, k] += change * np.int64(x[t + 1 + k, p])
            for k in range(first_lag, last_lag + 1):
                step[t - k - start, k] += change * np.int64(x[t - k, p])
    for k in range(min(n_lags, n_frames - start)):
        products[start, k] = _dot_u8(x[start], x[start + k])
    for t in range(start, stop - 1):
        for k in range(min(n_lags, n_frames - t - 1)):
            products[t + 1, k] = products[t, k] + step[t - start, k]


@njit(nogil=True, fastmath={"contract"})
def lagged_spectra(spectra, start, stop, out):
    """Cross-spectra of all pairs of steps k apart, summed over time, at frequencies start .. stop - 1.

    Complex numbers are (real, imaginary) pairs.
    spectra  (T, F, 2M) float32     out  (L, F, M, 2M) float32: out[k, f, i] += conj(x_i) y with x = spectra[t, f] and
             y = spectra[t + k, f]
    """
    n_frames, _, width = spectra.shape
    n_lags, n_maps = out.shape[0], width // 2
    for f in range(start, stop):
        turned = np.empty(width, np.float32)  # -i y
        total = np.zeros((n_lags, n_maps, width), np.float32)
        for t in range(n_frames):
            later = spectra[t, f]
            for j in range(n_maps):
                turned[2 * j] = later[2 * j + 1]
                turned[2 * j + 1] = -later[2 * j]
            for k in range(min(n_lags, t + 1)):
                earlier = spectra[t - k, f]
                for i in range(n_maps):
                    row = total[k, i]
                    real, imaginary = earlier[2 * i], earlier[2 * i + 1]
                    for j in range(width):
                        row[j] += real * later[j] + imaginary * turned[j]
        out[:, f] += total


@njit(nogil=True)
def window_sums_u8(x, n_windows, total, sums):
    """Sums over all windows of uint8 frames x (T, P), by position: sums (L, P) int64, filled; T = N + L - 1.

    total   (P,) int64, sum over all T frames
    """
    n_lags, n_pixels = sums.shape
    sums[0] = total
    for t in range(n_windows, len(x)):
        for p in range(n_pixels):
            sums[0, p] -= x[t, p]
    for a in range(1, n_lags):
        for p in range(n_pixels):
            sums[a, p] = sums[a - 1, p] - x[a - 1, p] + x[n_windows + a - 1, p]


@njit(nogil=True)
def near_means(sums, n, lo, hi, shift):
    """shift (hi - lo,) int64: the integers next to the means of series lo .. hi - 1, of integer sums (L, P) of n."""
    shift[:] = sums[0, lo:hi]
    for a in range(1, len(sums)):
        row = sums[a, lo:hi]
        for p in range(hi - lo):
            shift[p] += row[p]
    for p in range(hi - lo):
        shift[p] = np.int64(np.rint(shift[p] / len(sums) / n))


@njit(nogil=True)
def about_integers(sums, n, shift, rest, cross):
    """Integer sums (L, P) of n windows about integers near their means: rest = sums - n shift, cross = sums @ shift.

    shift (P,) int64, rest (L, P) float64, cross (L,) int64: filled     Returns   the largest |rest|
    """
    n_lags, n_series = sums.shape
    near_means(sums, n, 0, n_series, shift)
    largest = np.int64(0)
    for a in range(n_lags):
        products = np.int64(0)
        for p in range(n_series):
            apart = sums[a, p] - n * shift[p]
            products += sums[a, p] * shift[p]
            rest[a, p] = apart
            largest = max(largest, abs(apart))
        cross[a] = products
    return largest


@njit(nogil=True, fastmath={"reassoc", "contract"})
def products_about_integers(sums, n, cross, products):
    """`about_integers`, its rest not kept but multiplied: products (L, L) float64 = rest rest', cross (L,): filled.

    In any order: exact where no sum of products passes 2^53.    Returns   the largest |rest|, and |shift|^2
    """
    n_lags, n_series = sums.shape
    width = 512  # pieces that stay in the cache
    shift, rest = np.empty(width, np.int64), np.empty((n_lags, width))
    largest, squares = np.int64(0), np.int64(0)
    cross[:] = 0
    products[:] = 0
    for lo in range(0, n_series, width):
        size = min(width, n_series - lo)
        near_means(sums, n, lo, lo + size, shift[:size])
        for p in range(size):
            squares += shift[p] * shift[p]
        for a in range(n_lags):
            row, one = sums[a, lo : lo + size], rest[a]
            total = np.int64(0)
            for p in range(size):
                apart = row[p] - n * shift[p]
                total += row[p] * shift[p]
                one[p] = apart
                largest = max(largest, abs(apart))
            cross[a] += total
            for b in range(a + 1):
                other = rest[b]
                product = 0.0
                for p in range(size):
                    product += one[p] * other[p]
                products[a, b] += product
    for a in range(n_lags):
        for b in range(a):
            products[b, a] = products[a, b]
    return largest, squares
