"""What people would otherwise use, for the benchmarks: torch, deeptime, scikit-learn, a network, the bare emulator.

L = m + h lags, P pixels, N windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
import tqdm
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.nn import functional

import atari_play
import convnet
import heads
from players import TASKS
from resu_conv import ReSUEncoder
from stage_io import seconds

KEPT = 32  # frames per batch of a Gram matrix whose memory is kept: faster, and nearer to the truth, than larger ones
GRAMS = ("torch, windowed Gram", "torch, windowed Gram, memory kept", "NumPy, lag trick", "torch, lag trick")
CODES = ("torch, conv2d + ReLU + pooling", "torch, conv2d, memory kept", "torch, conv2d, compiled")
FAST = (*GRAMS[2:], *CODES[1:])  # the others are what people write first, and several times slower


def times(
    frames: np.ndarray,
    encoder: ReSUEncoder,
    game: str,
    torch_repeats: int,
    chunk: int,
    n_windows: int,
    network_frames: int,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """What others need for the moments and the code of some frames (T, H, W), that is, for all of them.

    torch_repeats     timings of NumPy and torch, of which the best counts; all others run once
    chunk             frames per torch batch
    n_windows         of one pixel, for the libraries, which cannot hold all        their times are scaled up
    network_frames    for the network
    Returns           name: seconds; name: the Gram matrix (L, L) or the features (T, D) of those in `GRAMS` and
                      `CODES`, without the compiled one where torch cannot compile
    """
    env_options = TASKS[game].env
    times, found = dense(frames, encoder, torch_repeats, chunk)
    lags = encoder.memory + encoder.horizon
    past, future = windows(frames, encoder.memory, encoder.horizon, n_windows)
    for name, fit in library_fits(past, future).items():
        times[name] = seconds(fit) * (len(frames) - lags + 1) * frames[0].size / len(past)
    part = frames[:network_frames]
    times["DQN network, one epoch"] = seconds(lambda: network_pass(part)) * len(frames) / len(part)
    steps = min(3000, len(frames))
    one_process = seconds(lambda: bare_loop(game, 0, {**env_options, "max_steps": steps}))
    times["the emulator alone, one process"] = one_process * len(frames) / steps
    return times, found


def dense(
    frames: np.ndarray, encoder: ReSUEncoder, repeats: int, chunk: int, names: Sequence[str] = GRAMS + CODES
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Those of `GRAMS` and `CODES` in names: options and results as in `times`."""
    lags, compiled = encoder.memory + encoder.horizon, torch.compile(pooled_halves)
    grams: tuple[Callable[[], np.ndarray], ...] = (
        lambda: torch_gram(frames, lags, chunk),
        lambda: torch_gram_kept(frames, lags, KEPT),
        lambda: lag_trick(frames, lags, np.matmul),
        lambda: lag_trick(frames, lags, lambda a, b: (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()),
    )
    codes: tuple[Callable[[], np.ndarray], ...] = (
        lambda: torch_encode(encoder, frames, chunk),
        lambda: torch_encode_kept(encoder, frames, chunk),
        lambda: torch_encode(encoder, frames, chunk, compiled),
    )
    ways = {name: way for name, way in zip(GRAMS + CODES, grams + codes, strict=True) if name in names}
    if CODES[-1] in ways:
        try:
            torch_encode(encoder, frames[: chunk + 1], chunk, compiled)
        except Exception:  # it needs a C++ compiler, and a path without a space: torch has many words for that
            del ways[CODES[-1]]
    found: dict[str, np.ndarray] = {}

    def keep(name: str) -> None:
        found[name] = ways[name]()

    return {name: seconds(partial(keep, name), repeats) for name in ways}, found


def torch_gram(frames: np.ndarray, lags: int, chunk: int) -> np.ndarray:
    """Windowed Gram matrix (L, L) in float32 batches, summed in float64: unfold, flatten, multiply."""
    gram = torch.zeros(lags, lags, dtype=torch.float64)
    for start in tqdm.trange(0, len(frames) - lags + 1, chunk, desc="torch Gram", mininterval=5):
        part = torch.from_numpy(frames[start : start + chunk + lags - 1].astype(np.float32)).flatten(1)
        windows = part.unfold(0, lags, 1).permute(2, 0, 1).reshape(lags, -1)
        gram += (windows @ windows.T).double()
    return gram.numpy()


def torch_gram_kept(frames: np.ndarray, lags: int, chunk: int) -> np.ndarray:
    """As `torch_gram`, all results written into memory that is taken once."""
    pixels, gram = torch.from_numpy(frames).flatten(1), torch.zeros(lags, lags, dtype=torch.float64)
    memory, product = torch.empty(lags * chunk * pixels.shape[1]), torch.empty(lags, lags)
    for start in range(0, len(pixels) - lags + 1, chunk):
        n = min(chunk, len(pixels) - lags + 1 - start)
        windows = memory[: lags * n * pixels.shape[1]].view(lags, n, -1)
        for lag in range(lags):
            windows[lag].copy_(pixels[start + lag : start + lag + n])
        torch.mm(windows.flatten(1), windows.flatten(1).T, out=product)
        gram += product.double()
    return gram.numpy()


def lag_trick(
    frames: np.ndarray, lags: int, multiply: Callable[[np.ndarray, np.ndarray], np.ndarray], block: int = 16
) -> np.ndarray:
    """The Gram matrix (L, L) from the products of every frame with the next ones: one matrix product (float32) a block.

    multiply   (n, P), (P, l) -> (n, l)
    """
    pixels = frames.reshape(len(frames), -1)
    products = np.zeros((len(frames), lags))
    for start in range(0, len(frames), block):
        part = pixels[start : start + block + lags - 1].astype(np.float32)
        near = multiply(part[:block], part.T)
        for lag in range(min(lags, len(part))):
            found = np.diagonal(near, lag)
            products[start : start + len(found), lag] = found
    n, gram = len(frames) - lags + 1, np.empty((lags, lags))
    for a in range(lags):
        for b in range(a, lags):
            gram[a, b] = gram[b, a] = products[a : a + n, b - a].sum()
    return gram


def pooled_halves(past: torch.Tensor, weight: torch.Tensor, cell: int) -> torch.Tensor:
    """(n, m, H, W) windows -> (n, D) features by conv2d over lags as channels, ReLU of both signs, average pooling."""
    z = functional.conv2d(past, weight)
    maps = torch.cat([functional.relu(z), functional.relu(-z)], dim=1)
    return functional.avg_pool2d(maps, cell).flatten(1)


def torch_encode(
    encoder: ReSUEncoder,
    frames: np.ndarray,
    chunk: int,
    layer: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor] = pooled_halves,
) -> np.ndarray:
    """The same features in torch (square cells). All batches are of one size: the last one overlaps the one before."""
    memory, cell, chunk = encoder.memory, frames.shape[1] // encoder.grid[0], min(chunk, len(frames))
    weight = torch.from_numpy(encoder.filters_.astype(np.float32))[:, :, None, None]
    mean = torch.from_numpy(encoder.mean_.astype(np.float32))
    out = np.empty((len(frames), encoder.n_features), np.float32)
    for start in tqdm.trange(0, len(frames), chunk, desc="torch conv2d", mininterval=5):
        start = min(start, len(frames) - chunk)
        rows = np.maximum(np.arange(start - memory + 1, start + chunk), 0)
        part = torch.from_numpy(frames[rows].astype(np.float32)) - mean
        past = part.unfold(0, memory, 1).permute(0, 3, 1, 2).flip(1)
        out[start : start + chunk] = layer(past, weight, cell).numpy()
    return out


def torch_encode_kept(encoder: ReSUEncoder, frames: np.ndarray, chunk: int) -> np.ndarray:
    """As `torch_encode`, by a matrix product, all large results written into memory that is taken once."""
    memory, cell, chunk = encoder.memory, frames.shape[1] // encoder.grid[0], min(chunk, len(frames))
    n_units, size = encoder.n_units, frames[0].size
    weight = torch.from_numpy(encoder.filters_.astype(np.float32))
    mean = torch.from_numpy(encoder.mean_.astype(np.float32)).flatten()
    windows, z = torch.empty(memory, chunk, size), torch.empty(n_units, chunk * size)
    half, centred = torch.empty_like(z), torch.empty(chunk + memory - 1, size)
    out = np.empty((len(frames), 2 * n_units, encoder.n_features // (2 * n_units)), np.float32)
    for start in range(0, len(frames), chunk):
        start = min(start, len(frames) - chunk)
        rows = np.maximum(np.arange(start - memory + 1, start + chunk), 0)
        torch.sub(torch.from_numpy(frames[rows]).flatten(1), mean, out=centred)
        for lag in range(memory):
            windows[lag].copy_(centred[memory - 1 - lag : memory - 1 - lag + chunk])
        torch.mm(weight, windows.flatten(1), out=z)
        for sign in (0, 1):
            torch.clamp(z if sign == 0 else z.neg_(), min=0, out=half)
            pooled = functional.avg_pool2d(half.view(n_units, chunk, *frames.shape[1:]), cell)
            out[start : start + chunk, sign * n_units : (sign + 1) * n_units] = (
                pooled.flatten(2).transpose(0, 1).numpy()
            )
    return out.reshape(len(frames), -1)


def windows(frames: np.ndarray, memory: int, horizon: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Past (n, m) and future (n, h) float64 of n windows drawn at random among all frames and pixels."""
    rng = np.random.default_rng(seed)
    pixels = frames.reshape(len(frames), -1)
    views = sliding_window_view(pixels, memory + horizon, axis=0)  # (N, P, L)
    chosen = views[np.sort(rng.integers(0, len(views), n)), rng.integers(0, pixels.shape[1], n)].astype(np.float64)
    return np.ascontiguousarray(chosen[:, :memory]), np.ascontiguousarray(chosen[:, memory:])


def library_fits(past: np.ndarray, future: np.ndarray) -> dict[str, Callable[[], object]]:
    """name: a fit on given windows by deeptime (covariances; VAMP, which is this CCA) and by scikit-learn's CCA."""
    from deeptime.covariance import Covariance  # these three load slowly, and only benchmarks need them
    from deeptime.decomposition import VAMP
    from sklearn.cross_decomposition import CCA

    return {
        "deeptime Covariance": lambda: (
            Covariance(compute_c00=True, compute_c0t=True, compute_ctt=True).partial_fit((past, future)).fetch_model()
        ),
        "deeptime VAMP": lambda: VAMP(dim=4).fit((past, future)).fetch_model(),
        "scikit-learn CCA": lambda: CCA(n_components=4, scale=False).fit(past, future),
    }


def network_pass(frames: np.ndarray, batch: int = 64) -> None:
    """Forward, backward and update of the DQN network on every frame once, as convnet trains it."""
    net = convnet.new(3, 0).train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters())
    targets = torch.zeros(batch, dtype=torch.int64)
    for start in range(0, len(frames) - batch, batch):
        rows = np.maximum(np.arange(start, start + batch)[:, None] - np.arange(convnet.N_FRAMES), 0)
        stacks = torch.from_numpy(frames[rows]).float().div_(255).contiguous(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(net(stacks), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def products_of_training(sizes: Sequence[int], n: int, epochs: int) -> None:
    """The matrix products of training a perceptron on n samples, on one core, and nothing else.

    sizes   of its layers, input first; of a batch forward, and backward for weights and, but for the first, inputs
    """
    layers = [(torch.rand(heads.BATCH, a), torch.rand(b, a), torch.rand(heads.BATCH, b)) for a, b in pairwise(sizes)]
    with heads.one_torch_thread():
        for _ in range(epochs * -(-n // heads.BATCH)):
            for i, (x, weight, gradient) in enumerate(layers):
                x @ weight.T, gradient.T @ x
                if i:
                    gradient @ weight


def policy_loop(policy: atari_play.Policy, game: str, seed: int, env_options: dict) -> int:
    """max_steps steps of whole games as `atari_play.play` plays them, the last one cut; returns their number."""
    done, rngs = 0, atari_play.game_rngs(seed)
    while done < env_options["max_steps"]:
        options = {"game": game, **env_options}
        done += atari_play.play_game(policy, next(rngs), options, env_options["max_steps"] - done).length
    return done


def bare_loop(game: str, seed: int, env_options: dict) -> int:
    """max_steps steps under actions drawn beforehand, the environment and nothing else; returns their number.

    A game that ends is begun again without seeding (which would load it anew), to the bare loop's advantage.
    """
    env = atari_play.environment(game=game, **env_options)
    env.reset(seed=seed)
    actions = np.random.default_rng(seed).integers(len(env.action_names), size=env_options["max_steps"])
    for action in actions.tolist():
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return len(actions)
