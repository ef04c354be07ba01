"""Gymnasium vector environments as Stable-Baselines3 sees them: the only home of stable_baselines3's environments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

try:
    import gymnasium
    from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError("resu_sb3 needs Stable-Baselines3: pip install 'resu-features[sb3]'") from error


class SB3VecEnv(VecEnv):
    """A Gymnasium vector environment (AutoresetMode.SAME_STEP) as Stable-Baselines3's VecEnv.

    infos carry "terminal_observation" and "TimeLimit.truncated" where an episode ended, and "episode" {r, l}: its
    unclipped return and length. clip_rewards hands the learner the rewards' signs instead.
    Raises   ValueError for another kind of automatic reset.
    """

    def __init__(self, env: VectorEnv, clip_rewards: bool = False) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ValueError("Stable-Baselines3 needs AutoresetMode.SAME_STEP environments")
        self.env, self._clip = env, clip_rewards
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._next_seed: int | None = None
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, int)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Of the next reset; environment i gets seed + i."""
        self._next_seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> np.ndarray:
        """Begin everywhere."""
        observations, _ = self.env.reset(seed=self._next_seed)
        self._next_seed = None
        self._returns[:], self._lengths[:] = 0, 0
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step with them."""
        observations, rewards, terminated, truncated, info = self.env.step(self._actions)
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(dones):
            infos[b] = {
                "terminal_observation": info["final_obs"][b],
                "TimeLimit.truncated": bool(truncated[b] and not terminated[b]),
                "episode": {"r": float(self._returns[b]), "l": int(self._lengths[b])},
            }
        self._returns[dones], self._lengths[dones] = 0, 0
        shown = np.sign(rewards) if self._clip else rewards
        return observations, shown.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def _single(self) -> list[Any] | None:
        """The single environments, where they live in this process."""
        return getattr(self.env.unwrapped, "envs", None)

    def _elsewhere(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """An attribute or method of all environments, which live in other processes; they stay alive if it is missing.

        Raises   AttributeError if it is.
        """
        if not all(self.env.unwrapped.call("has_wrapper_attr", name)):  # type: ignore[attr-defined]
            raise AttributeError(f"the environments have no attribute {name}")
        return list(self.env.unwrapped.call(name, *args, **kwargs))  # type: ignore[attr-defined]

    def _some(self, values: Sequence[Any], indices: Any) -> list[Any]:
        return [values[i] for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the single environments, or of the innermost wrapper around one that has it.

        Raises   AttributeError if it is missing.
        """
        games = self._single()
        if games is None:
            return self._some(self._elsewhere(attr_name), indices)
        return [game.get_wrapper_attr(attr_name) for game in self._some(games, indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the single environments, or of the wrapper around one that has it, to this value.

        Raises   ValueError for some of them alone, if they live in other processes.
        """
        games = self._single()
        if games is None:
            self._all_or_none(indices)
            self.env.unwrapped.set_attr(attr_name, [value] * self.num_envs)  # type: ignore[attr-defined]
        else:
            for game in self._some(games, indices):
                game.set_wrapper_attr(attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the single environments, or of the wrapper around one that has it.

        Raises   ValueError for some of them alone, if they live in other processes; AttributeError if it is missing.
        """
        games = self._single()
        if games is None:
            self._all_or_none(indices)
            return self._elsewhere(method_name, *args, **kwargs)
        return [game.get_wrapper_attr(method_name)(*args, **kwargs) for game in self._some(games, indices)]

    def _all_or_none(self, indices: Any) -> None:
        if list(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError("environments in other processes are called all at once: leave out indices")

    def get_images(self) -> Sequence[np.ndarray | None]:
        """What each environment shows, for `render`."""
        return self.env_method("render")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Whether such a wrapper is around all environments, or around each one; in other processes by its name."""
        if any(isinstance(layer, wrapper_class) for layer in _layers(self.env)):
            return [True] * len(list(self._get_indices(indices)))
        games = self._single()
        if games is None:
            described = [str(text) for text in self._elsewhere("__str__")]  # <TimeLimit<OrderEnforcing<...
            found = [wrapper_class.__name__ in re.findall(r"<(\w+)", text) for text in described]
        else:
            found = [any(isinstance(layer, wrapper_class) for layer in _layers(game)) for game in games]
        return self._some(found, indices)


def _layers(env: Any) -> Iterator[Any]:
    """An environment's wrappers, from the outermost one in, and itself."""
    yield env
    while isinstance(env, (gymnasium.Wrapper, VectorWrapper)):
        env = env.env
        yield env
