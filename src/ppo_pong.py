"""Stage 7: PPO on frozen ReSU features wins Pong on two CPU cores.

Claim      PPO on layer-1 ReSU features, fitted in closed form on random play and never changed, averages more than +17
           after 3 M steps (12 M emulated frames) and within 60 minutes: final checkpoint, not the best one.
Falsified  if the 95 % interval over seeds lies below +17. Other games (--game): the score of Blob-PROST after 10 M
           frames (Machado et al. 2018: Breakout 12.3, Space Invaders 466), at 2.5 M steps.
Original   DQN alone: -19.7 after 500,000 steps
Reads      data/<game>_random_s*          Writes  results/ppo_<game>.{npz,json,log,png}, results/clones/, data/ppo/
Run        python src/ppo_pong.py                                       (60 min on 2 cores, 3 seeds)
           python src/ppo_pong.py --game breakout --steps 2500000
           python src/ppo_pong.py --smoke                               (1 min, proves nothing)
Resume     Stop it when you like: the same command goes on from the last checkpoint (data/ppo/), with the same curve.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

import cloning
import figures
import reinforcement
import rollouts
import stats_ci
from atari_env import AtariEnv
from cloning import Clone
from demonstrations import TASKS
from heads import Scaling
from reinforcement import Recipe
from resu_conv import ReSUEncoder
from stage_io import Run, guard, parse_config, require_positive, start_run

TARGETS = {"pong": 17.0, "breakout": 12.3, "space_invaders": 466.0}
POINTS = 60  # of a learning curve


@dataclass(frozen=True)
class Config:
    """Options."""

    game: Literal["pong", "breakout", "space_invaders"] = "pong"
    seeds: int = 3  # replications: own frames, own fit, own learning, own games
    first_seed: int = 0
    n_frames: int = 60_000  # of random play, to fit the encoder on [agent steps]
    steps: int = 3_000_000  # of learning [agent steps]
    segment: int = 250_000  # between checkpoints [agent steps]
    n_envs: int = 16  # games side by side
    memory: int = 4  # frames in the past of a filter, and number of filters
    grid: tuple[int, int] = (18, 8)  # pooling cells (rows, columns)
    games: int = 20  # evaluation games per seed
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "seeds": 2,
    "n_frames": 1500,
    "steps": 512,
    "segment": 256,
    "n_envs": 2,
    "grid": (6, 4),
    "games": 1,
    "max_steps": 200,
}


def measure(run: Run, seed: int, recipe: Recipe) -> dict[str, Any]:
    """One seed: fit on random play, learn, evaluate the final policy's likeliest actions in full games."""
    c = run.config
    env_options = dict(TASKS[c.game].env)
    buffer = rollouts.random_play(run.data, c.game, c.n_frames, seed, **env_options)
    encoder = ReSUEncoder(memory=c.memory, n_units=4, grid=c.grid).fit(buffer.episode_frames())
    scaling = Scaling.fit(cloning.encode_buffer(encoder, buffer))
    if c.max_steps != Config.max_steps:
        env_options["max_steps"] = c.max_steps

    def make_learner():
        env = reinforcement.environments(c.game, encoder, recipe, **env_options)
        return reinforcement.new_learner(env, recipe, scaling, seed)

    name = hashlib.sha256(repr((asdict(recipe), asdict(c), seed)).encode()).hexdigest()[:16]
    learner, episodes, seconds = reinforcement.train(
        make_learner, recipe, seed, run.data / "ppo" / f"{c.game}_{name}.pt", f"{c.game}, seed {seed}"
    )
    names = AtariEnv(c.game, **env_options).action_names
    clone = Clone(encoder, reinforcement.policy_head(learner, scaling), names)
    if seed == c.first_seed:
        clone.save(run.results / "clones" / f"{c.game}_ppo")
    played = rollouts.play(clone, c.games, (seed, rollouts.EVALUATION), c.game, f"seed {seed}", **env_options)
    steps, returns, _ = np.array(episodes, float).reshape(-1, 3).T
    edges = np.linspace(0, recipe.steps, POINTS + 1)
    bins = np.digitize(steps, edges[1:-1])
    curve = [float(returns[bins == i].mean()) if (bins == i).any() else None for i in range(POINTS)]
    scores = [game.score for game in played]
    run.log(f"seed {seed}: {np.mean(scores):.1f} after {seconds / 60:.0f} min of learning")
    return {
        "scores": scores,
        "lengths": [game.length for game in played],
        "curve": curve,
        "training_games": len(episodes),
        "minutes": seconds / 60,
    }


def main(argv: list[str] | None = None) -> None:
    """All seeds, then table, verdict and learning curves."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "steps", "segment", "n_envs", "games")
    ReSUEncoder(memory=config.memory, n_units=4, grid=config.grid)
    run = start_run(__file__, config, "" if config.game == "pong" else f"_{config.game}")
    c = run.config
    recipe = Recipe(steps=c.steps, segment=c.segment, n_envs=c.n_envs)
    options = {name: value for name, value in asdict(c).items() if name not in ("seeds", "first_seed", "smoke")}
    cells = [
        run.cell(lambda seed=seed: measure(run, seed, recipe), seed=seed, **options, recipe=asdict(recipe))
        for seed in range(c.first_seed, c.first_seed + c.seeds)
    ]
    rng = np.random.default_rng(0)
    means = stats_ci.mean_over_games([cell["scores"] for cell in cells])
    estimate = stats_ci.estimate(means, rng)
    target = TARGETS[c.game]
    row = {
        "policy": f"PPO on frozen ReSU, {c.steps / 1e6:g} M steps",
        "score [95 % interval over seeds]": str(estimate),
        "worst and best game": f"{np.min([x['scores'] for x in cells]):.0f} .. "
        f"{np.max([x['scores'] for x in cells]):.0f}",
        "minutes of learning": f"{np.mean([cell['minutes'] for cell in cells]):.0f}",
        "seeds x games": f"{c.seeds} x {c.games}",
    }
    verdict = {
        "claim": f"{TASKS[c.game].label}: the final policy averages more than {target:g}",
        "estimate": str(estimate),
        "verdict": stats_ci.verdict_positive(stats_ci.estimate(means - target, rng)),
    }
    curves = np.array([cell["curve"] for cell in cells], float)
    figure = figures.learning_curves(
        {"PPO on frozen ReSU features": curves},
        c.steps,
        {"target": target},
        f"{TASKS[c.game].label}: return of training games (sampled actions), one line per seed, n = {c.seeds}",
    )
    run.finish([row], [verdict], figure, scores=np.array([cell["scores"] for cell in cells]), curves=curves)


if __name__ == "__main__":
    guard(main)
