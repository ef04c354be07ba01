"""What people would otherwise use, for the benchmarks: torch, deeptime, scikit-learn, a network, the bare emulator.

L = m + h lags, P pixels, N windows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import tqdm
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.nn import functional

import atari_play
import convnet
from players import TASKS
from resu_conv import ReSUEncoder
from stage_io import seconds


def times(
    frames: np.ndarray,
    encoder: ReSUEncoder,
    game: str,
    torch_repeats: int,
    chunk: int,
    n_windows: int,
    network_frames: int,
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """What others need for the moments and the code of some frames (T, H, W), that is, for all of them.

    torch_repeats     timings of torch, of which the best counts; all others run once
    chunk             frames per torch batch
    n_windows         of one pixel, for the libraries, which cannot hold all        their times are scaled up
    network_frames    for the network
    Returns           name: seconds; torch's Gram matrix (L, L); torch's features (T, D)
    """
    lags, env_options = encoder.memory + encoder.horizon, TASKS[game].env
    found: dict[str, np.ndarray] = {}
    times = {
        "torch, windowed Gram": seconds(lambda: found.update(gram=torch_gram(frames, lags, chunk)), torch_repeats),
        "torch, conv2d + ReLU + pooling": seconds(
            lambda: found.update(features=torch_encode(encoder, frames, chunk)), torch_repeats
        ),
    }
    past, future = windows(frames, encoder.memory, encoder.horizon, n_windows)
    for name, fit in library_fits(past, future).items():
        times[name] = seconds(fit) * (len(frames) - lags + 1) * frames[0].size / len(past)
    part = frames[:network_frames]
    times["DQN network, one epoch"] = seconds(lambda: network_pass(part)) * len(frames) / len(part)
    steps = min(3000, len(frames))
    one_process = seconds(lambda: bare_loop(game, 0, {**env_options, "max_steps": steps}))
    times["the emulator alone, one process"] = one_process * len(frames) / steps
    return times, found["gram"], found["features"]


def torch_gram(frames: np.ndarray, lags: int, chunk: int) -> np.ndarray:
    """Windowed Gram matrix (L, L) in float32 batches, summed in float64: unfold, flatten, multiply."""
    gram = torch.zeros(lags, lags, dtype=torch.float64)
    for start in tqdm.trange(0, len(frames) - lags + 1, chunk, desc="torch Gram", mininterval=5):
        part = torch.from_numpy(frames[start : start + chunk + lags - 1].astype(np.float32)).flatten(1)
        windows = part.unfold(0, lags, 1).permute(2, 0, 1).reshape(lags, -1)
        gram += (windows @ windows.T).double()
    return gram.numpy()


def torch_encode(encoder: ReSUEncoder, frames: np.ndarray, chunk: int) -> np.ndarray:
    """The same features by conv2d over lags as channels, ReLU of both signs and average pooling (square cells)."""
    memory, cell = encoder.memory, frames.shape[1] // encoder.grid[0]
    weight = torch.from_numpy(encoder.filters_.astype(np.float32))[:, :, None, None]
    mean = torch.from_numpy(encoder.mean_.astype(np.float32))
    out = np.empty((len(frames), encoder.n_features), np.float32)
    for start in tqdm.trange(0, len(frames), chunk, desc="torch conv2d", mininterval=5):
        stop = min(start + chunk, len(frames))
        rows = np.maximum(np.arange(start - memory + 1, stop), 0)
        part = torch.from_numpy(frames[rows].astype(np.float32)) - mean
        past = part.unfold(0, memory, 1).permute(0, 3, 1, 2).flip(1)
        z = functional.conv2d(past, weight)
        maps = torch.cat([functional.relu(z), functional.relu(-z)], dim=1)
        out[start:stop] = functional.avg_pool2d(maps, cell).flatten(1).numpy()
    return out


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
