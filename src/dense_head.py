"""Heads as they are used: plain NumPy layers, small enough to play with; without torch, which takes seconds to load.

N samples, D features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import head_kernels
import resu_files

CHUNK = 8192  # rows per block of a pass over all features


@dataclass(frozen=True)
class DenseHead:
    """Affine layers with rectified ones in between: x -> W_n relu(... relu(W_1 x + b_1)) + b_n.

    weights   list of (D_out, D_in) float32       biases   list of (D_out,) float32
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Class scores: x (D,) or (N, D) -> (C,) or (N, C) float32."""
        x = np.asarray(x, np.float32)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.T + bias
            if i < last:
                np.maximum(x, 0, out=x)
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Class with the highest score: (N, D) -> (N,) int64, in chunks."""
        return np.concatenate([self.logits(x[i : i + CHUNK]).argmax(axis=1) for i in range(0, len(x), CHUNK)])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of features, hidden units per layer, classes."""
        return (self.weights[0].shape[1], *(len(weight) for weight in self.weights))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for array in (*self.weights, *self.biases))

    def save(self, path: resu_files.PathLike, **extra: np.ndarray) -> None:
        """Write the layers, and any extra arrays, to an .npz file."""
        layers = zip(self.weights, self.biases, strict=True)
        arrays = {f"{kind}{i}": a for i, pair in enumerate(layers) for kind, a in zip("wb", pair, strict=True)}
        resu_files.write_npz(path, compress=True, n_layers=len(self.weights), **arrays, **extra)

    @classmethod
    def load(cls, path: resu_files.PathLike, remedy: str = "") -> tuple[DenseHead, dict[str, np.ndarray]]:
        """Read a file of `save`: the head and the extra arrays.

        Raises   FileNotFoundError, or ValueError if the file is damaged or its layers do not chain.
        """
        data = resu_files.read_npz(path, ("n_layers", "w0", "b0"), remedy)
        n = range(int(data.pop("n_layers")))
        try:
            head = cls([data.pop(f"w{i}") for i in n], [data.pop(f"b{i}") for i in n])
            head.logits(np.zeros(head.weights[0].shape[1], np.float32))
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent head file ({error}): {remedy}") from error
        return head, data


class SteppedHead:
    """A head for one sample after the other: an update costs what differs from the last sample, not D.

    Of a game's code few numbers move from step to step. The scores are those of `DenseHead.logits` up to rounding in
    float32.
    """

    def __init__(self, head: DenseHead) -> None:
        pairs = zip(head.weights, head.biases, strict=True)
        self._weights = tuple(np.ascontiguousarray(np.concatenate([w.T, b[None]]), np.float32) for w, b in pairs)
        most = max(len(weight) for weight in self._weights)
        self._scratch = np.empty(most, np.int32), np.empty(most, np.float32)
        self._last: np.ndarray | None = None

    def reset(self, x: np.ndarray) -> np.ndarray:
        """Begin at a first sample: x (D,) -> (C,) float32."""
        self._last = np.array(x, np.float32)
        self._image = self._last.astype(np.float64) @ self._weights[0][:-1] + self._weights[0][-1]
        return self.logits(x)

    def scores(self, x: np.ndarray) -> np.ndarray:
        """As `logits`; a first sample begins. Raises ValueError for another D."""
        return self.reset(x) if self._last is None else self.logits(x)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Class scores: x (D,) -> (C,) float32. Raises ValueError before `reset`, or for another D."""
        if self._last is None or x.shape != self._last.shape:
            raise ValueError("call reset with the first sample before logits, and keep to its size")
        out = np.empty(self._weights[-1].shape[1], np.float32)
        x = np.ascontiguousarray(x, np.float32)
        head_kernels.dense_layers(x, self._last, self._image, self._weights, *self._scratch, out)
        return out
