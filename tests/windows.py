"""Vector series for tests, and their windows written out one by one."""

import numpy as np


def vector_windows(episodes: list[np.ndarray], m: int, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Pasts (N, m D), newest first, and futures (N, h D), of all windows that lie within an episode."""
    past, future = [], []
    for x in episodes:
        for t in range(m - 1, len(x) - h):
            past.append(np.concatenate([x[t - j] for j in range(m)]))
            future.append(x[t + 1 : t + 1 + h].ravel())
    return np.array(past), np.array(future)


def vector_series(seed: int, n: int, columns: int, offset: float = 0.0) -> np.ndarray:
    """(n, D) float64: a few hidden states that turn and decay, mixed into all columns, and noise."""
    rng = np.random.default_rng(seed)
    states = np.zeros((n, 3))
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0] * [0.95, 0.9, 0.6]
    for t in range(1, n):
        states[t] = turn @ states[t - 1] + rng.standard_normal(3)
    mixing = np.random.default_rng(2).standard_normal((3, columns))
    return states @ mixing + rng.standard_normal((n, columns)) + offset


def vector_integers(seed: int, n: int, columns: int, most: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """(n, D) integers of 0 .. most, or of -most .. most if signed, that depend on those before."""
    rng = np.random.default_rng(seed)
    least = -most if np.issubdtype(dtype, np.signedinteger) else 0
    x = rng.integers(least, most, (n, columns), endpoint=True)
    return (x // 2 + np.roll(x, 1, axis=0) // 2).astype(dtype)
