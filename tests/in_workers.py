"""Run by test_resu_threads.py: fit and encode here, then in processes or threads of the named kind; same bits?"""

import hashlib
import multiprocessing
import sys

import numpy as np

import resu_threads
from resu_conv import ReSUEncoder
from resu_conv_action import ActionReSUEncoder
from screens import screens

N = 3  # tasks


def digest(seed: int) -> str:
    """Of everything that has blocks: moments, both ways of encoding, the layers above, action taps."""
    rng = np.random.default_rng(seed)
    frames = screens(rng, 2100, (8, 8), 0.02)
    actions = rng.integers(0, 3, len(frames))
    encoder = ReSUEncoder(grid=(2, 2)).fit([frames])
    deep = ReSUEncoder(grid=(2, 2), n_layers=2, memory2=2, horizon2=1, n_windows2=600).fit([frames])
    acting = ActionReSUEncoder(3, grid=(2, 2)).fit(frames, actions)
    arrays = [encoder.filters_, encoder.encode(frames, "events"), encoder.encode(frames, "dense"), deep.encode(frames)]
    arrays += [deep.upper_[0].filters, acting.encode(frames, actions), encoder.maps(frames)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


class Digests:
    """A torch data set."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> str:
        return digest(i)


def computed(kind: str) -> list[str]:
    """digest(0) .. digest(N - 1), elsewhere."""
    if kind in ("fork", "spawn"):
        with multiprocessing.get_context(kind).Pool(2) as pool:
            return pool.map(digest, range(N))
    if kind == "loader":
        from torch.utils.data import DataLoader

        loader = DataLoader(Digests(), batch_size=None, num_workers=2, multiprocessing_context="fork")
        return list(loader)
    import joblib

    with joblib.parallel_config(backend=kind, n_jobs=2):
        return joblib.Parallel()(joblib.delayed(digest)(i) for i in range(N))


if __name__ == "__main__":
    assert resu_threads.n_threads() == 3
    here = [digest(i) for i in range(N)]
    assert len(set(here)) == N
    assert computed(sys.argv[1]) == here, "other bits"
    print("same bits")
