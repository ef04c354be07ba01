"""Gymnasium environments seen through an encoder: observations are features, right at every kind of automatic reset.

B environments, frames of H x W pixels, D features.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resu_online import Code

try:
    import gymnasium
    from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ImportError("resu_gym needs Gymnasium: pip install 'resu-features[gym]'") from error


def _feature_space(encoder: Code) -> gymnasium.spaces.Box:
    if getattr(encoder, "dtype", np.float32) == np.uint8:  # raw pixels
        return gymnasium.spaces.Box(0, 255, (encoder.n_features,), np.uint8)
    return gymnasium.spaces.Box(0.0, np.inf, (encoder.n_features,), np.float32)


class EncodedEnv(gymnasium.Wrapper):
    """One environment seen through an encoder: observations are its features (D,) float32 instead of frames (H, W).

    encoder   fitted; it stays as it is, and any number of environments may share it
    """

    def __init__(self, env: gymnasium.Env, encoder: Code) -> None:
        super().__init__(env)
        self._online = encoder.online(1)
        self.observation_space = _feature_space(encoder)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode and forget the last one."""
        frame, info = self.env.reset(seed=seed, options=options)
        return self._online.reset(frame[None])[0], info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        return self._online.step(frame[None])[0], reward, terminated, truncated, info


class EncodedVectorEnv(VectorWrapper):
    """B environments seen through one encoder: observations are features (B, D) float32 instead of frames (B, H, W).

    At an automatic reset the new episode begins without the old one's past. With AutoresetMode.SAME_STEP
    info["final_obs"] holds the features of the last frames, as an object array with None elsewhere.
    env       vector environment whose observations are (B, H, W) uint8
    encoder   fitted; it stays as it is, and any number of environments may share it
    Raises    TypeError if env is no vector environment; ValueError before the first reset of all, or where an episode
              ends without its last frame
    """

    def __init__(self, env: VectorEnv, encoder: Code) -> None:
        super().__init__(env)
        self._online = encoder.online(env.num_envs)
        self._mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.single_observation_space = _feature_space(encoder)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._ended: np.ndarray | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode everywhere, or where options["reset_mask"] says so (AutoresetMode.DISABLED)."""
        chosen = (options or {}).get("reset_mask")
        if chosen is not None and self._ended is None:
            raise ValueError("reset all environments before some of them")
        own = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        frames, info = self.env.reset(seed=seed, options=own)  # type: ignore[arg-type]
        if chosen is None or self._ended is None:
            self._ended = np.zeros(self.num_envs, bool)
            return self._online.reset(frames), info
        self._ended = self._ended & ~chosen
        return self._online.step(frames, restarted=chosen, where=chosen), info

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step everywhere, with automatic resets as the wrapped environment does them."""
        if self._ended is None:
            raise ValueError("call reset before step")
        frames, rewards, terminated, truncated, info = self.env.step(actions)
        ended = terminated | truncated
        if self._mode == AutoresetMode.SAME_STEP and ended.any():
            if "final_obs" not in info:
                raise ValueError("an episode ended, but info lacks its last frame, final_obs: AutoresetMode.SAME_STEP")
            last = np.stack([info["final_obs"][b] if ended[b] else frames[b] for b in range(self.num_envs)])
            features = self._online.step(last)
            finals = np.full(self.num_envs, None, object)
            for b in np.flatnonzero(ended):
                finals[b] = features[b]
            info = {**info, "final_obs": finals}
            features = self._online.step(frames, restarted=ended, where=ended)
        else:
            features = self._online.step(frames, restarted=self._ended & (self._mode == AutoresetMode.NEXT_STEP))
        self._ended = ended
        return features, rewards, terminated, truncated, info
