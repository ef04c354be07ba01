"""The record: every result in running order, the command that makes it, and what it asks. One home for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

STICKY_0 = "For comparison only: the same few games are played again and again, so the intervals mean little."
AGGREGATION = "--dagger-rounds 8 --memory 4 --grid 28 12 --seeds 3"


@dataclass(frozen=True)
class Step:
    """One result.

    name      of its files under results/
    stages    of the original investigation that it belongs to, a space between them
    script    in src/, without .py          options   of the command line, as one would type them
    heading, question   of its section on its stage's page; without a heading it has none
    main       regular expression for the rows of its main table (12 at most) where it has more; all stand at the end
    twin       options besides of the same under the original's recipe; None where that is not measured
    """

    name: str
    stages: str
    script: str
    options: str = ""
    heading: str = ""
    question: str = ""
    main: str = ""
    twin: str | None = None

    @property
    def command(self) -> str:
        """What to type."""
        return f"python src/{self.script}.py {self.options}".rstrip()


def with_twins(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, and after those that have one the same experiment under the original's recipe."""
    for step in steps:
        yield step
        if step.twin is not None:
            options = f"{step.options} --recipe original {step.twin}".strip()
            heading = f"{step.heading}, the original's recipe"
            yield replace(step, name=f"{step.name}_original", options=options, heading=heading, question=ITS, twin=None)


ITS = "The same under the original's recipe of fitting and streaming, as near as it can be inferred."
MEASURED = (
    Step(
        "bench_core",
        "core",
        "bench_core",
        "",
        "Core speed",
        "Exact moments and encoding against what people would otherwise use, one run.",
        main=r"^(Pong|Space Invaders|Enduro)( at 210 x 160)? \(.*against|^Pong: online",
    ),
    Step(
        "bench_layers",
        "core",
        "bench_layers",
        "",
        "Speed of the layers above the first",
        "Fitting, encoding and an online step, and how fast games are collected.",
        main=r"^(fit|encode|online step)( at 210 x 160)?, layers",
    ),
    Step(
        "bench_device",
        "core",
        "bench_device",
        "",
        "On a GPU",
        "The same calls on a device of torch: the same bits, and how long they take.",
        main=r"fit|encode|256 environments",
    ),
    Step(
        "bench_scale",
        "core",
        "bench_scale",
        "",
        "How the cost grows",
        "With pixels, memory, frames, files and machines.",
        main=r"(84 x 84|210 x 160) pixels|files|in memory|computed",
    ),
    Step(
        "probe_deadleaves",
        "1",
        "probe_deadleaves",
        "",
        "Stage 1: dead leaves",
        "Does moving dead-leaves input give lamina-like filters, and how do they change with the noise?",
        main=r"^(dead leaves|(no blur|blurred white noise) \| 2)",
    ),
    Step(
        "eval_expert",
        "4a 11",
        "eval_expert",
        "",
        "Experts",
        "The hand-written players that are imitated.",
        main=r"^(?!.*from pixels).*\| 0\.25 \|",
    ),
    Step(
        "demo_pong",
        "demo",
        "demo_pong",
        "",
        "The whole path, one seed",
        "What `make demo` prints; intervals here are over games.",
    ),
    Step(
        "probe_pong",
        "2",
        "probe_pong",
        "",
        "Stage 2: linear probes on Pong",
        "What can be read off the code by one matrix?",
        main=r"^(raw\(t,t-1\)|raw, 8|L1 \||L2 \||L[12] random|temporal PCA|frame differences|original)",
        twin="",
    ),
    Step(
        "probe_pong_newest",
        "2",
        "probe_pong",
        "--max-over 1",
        "Stage 2 without the maximum over two frames",
        "Does the observation explain the paddle?",
        main=r"^(?!raw\(t\))",
    ),
    Step(
        "probe_pong_velocity",
        "2",
        "probe_pong_velocity",
        "",
        "Stage 2: the ball's velocity",
        "With fair baselines and controls.",
    ),
    Step(
        "probe_pong_action",
        "3",
        "probe_pong_action",
        "",
        "Stage 3: actions in layer 1's past",
        "Is an injected scalar of any use?",
    ),
    Step(
        "probe_pong_pooled_action",
        "3b",
        "probe_pong_pooled_action",
        "",
        "Stage 3b: actions in a layer on pooled features",
        "Does it pay to give them to a layer that predicts all pooled features at once?",
        main=r"^Pong \| (?!forecast|L1, |L1 on actions \|)",
    ),
    Step(
        "asteroids_enduro_stress",
        "11",
        "asteroids_enduro_stress",
        "",
        "Stage 11: filters of five games",
        "Is only the derivative universal?",
        main=r"^(centred|original): canonical correlations|^AUC, (native|Pong) \| Asteroids",
        twin="--seeds 5",
    ),
    Step(
        "asteroids_spectrum",
        "11",
        "asteroids_spectrum",
        "",
        "Stage 11: the original's Asteroids",
        "Is there a way to its correlation and its flat filter?",
    ),
    Step(
        "depth_ablation_si",
        "8",
        "depth_ablation_si",
        "",
        "Stage 8: depth, on Space Invaders",
        "Does a third layer earn its keep, against controls of equal size?",
        main=r"^(L[123] \||L1\+L2(\+L3)?|wide L1 \(5x\)|original: L)",
        twin="",
    ),
    Step(
        "bc_pong",
        "4a",
        "bc_pong",
        "",
        "Stage 4a: imitating the reactive expert",
        "Do the features suffice for control?",
    ),
    Step(
        "bc_pong_balanced",
        "4a",
        "bc_pong",
        "--expert balanced --seeds 5 --rows random expert 'raw linear' 'raw mlp' 'resu linear' 'resu mlp'",
        "Stage 4a: imitating an expert whose actions are balanced",
        "As the original's were: do raw frames fail then?",
    ),
    Step(
        "bc_pong_winning",
        "4a",
        "bc_pong",
        "--expert winning --dagger-rounds 5 --memory 4 --grid 28 12 --seeds 3",
        "Stage 4a: imitating the winning expert",
        "Does the clone of a winner win?",
    ),
    Step(
        "bc_pong_sticky0",
        "4a",
        "bc_pong",
        "--sticky 0 --seeds 5 --rows random expert 'raw linear' 'resu linear' 'resu mlp'",
        "Stage 4a without sticky actions",
        STICKY_0,
    ),
    Step("eval_breakout_expert", "4", "eval_breakout_expert", "", "Breakout's experts", "Who is imitated in Breakout."),
    Step(
        "bc_games_breakout",
        "4",
        "bc_games",
        "--game breakout",
        "Stage 4: imitating the Breakout expert",
        "Codes and heads, with controls.",
    ),
    Step(
        "bc_games_breakout_dagger",
        "4",
        "bc_games",
        f"--game breakout {AGGREGATION}",
        "Stage 4: imitating the Breakout expert, with aggregation",
        "Does relabelling the clone's own games help?",
    ),
    Step(
        "bc_games_breakout_dagger_selecting",
        "4",
        "bc_games",
        "--game breakout --dagger-rounds 8 --memory 8 --grid 28 12",
        "Stage 4: imitating the Breakout expert, with aggregation, on filters that select",
        "With 4 filters over 8 frames: is it ReSU's filters, or any?",
    ),
    Step(
        "bc_games_space_invaders",
        "4",
        "bc_games",
        "--game space_invaders",
        "Stage 4: imitating the Space Invaders expert",
        "Codes and heads, with controls.",
    ),
    Step(
        "bc_games_space_invaders_dagger",
        "4",
        "bc_games",
        f"--game space_invaders {AGGREGATION}",
        "Stage 4: imitating the Space Invaders expert, with aggregation",
        "Does relabelling the clone's own games help?",
    ),
    Step(
        "bc_games_asteroids",
        "11",
        "bc_games",
        "--game asteroids",
        "Stage 11: imitating the Asteroids expert",
        "Codes and heads, with controls.",
    ),
    Step(
        "bc_games_enduro",
        "11",
        "bc_games",
        "--game enduro --games 4",
        "Stage 11: imitating the Enduro expert",
        "Codes and heads, with controls.",
    ),
    Step(
        "bc_breakout",
        "5",
        "bc_breakout",
        "",
        "Stage 5: from Pong to Breakout",
        "Does streaming a Pong encoder match fitting anew?",
        twin="--seeds 10",
    ),
    Step("bc_breakout_sticky0", "5", "bc_breakout", "--sticky 0 --seeds 5", "Stage 5 without sticky actions", STICKY_0),
    Step(
        "bc_pong_cnn_tuning",
        "6",
        "bc_pong_cnn",
        "--tune",
        "Stage 6: settings tried",
        "Validation accuracy on the tuning seed.",
    ),
    Step(
        "bc_pong_cnn",
        "6",
        "bc_pong_cnn",
        "",
        "Stage 6: the DQN network end to end",
        "Is it any better than ReSU with an MLP?",
    ),
    Step("bc_pong_cnn_sticky0", "6", "bc_pong_cnn", "--sticky 0 --seeds 5", "Stage 6 without sticky actions", STICKY_0),
    Step(
        "transfer_matrix",
        "9a 9b",
        "transfer_matrix",
        "",
        "Stages 9a and 9b: adaptation from game to game",
        "Where does streaming pay?",
        main=r"^(?!Pong \| Pong)",
        twin="--breakout-seeds 10",
    ),
    Step(
        "transfer_forgetting",
        "9c",
        "transfer_forgetting",
        "",
        "Stage 9c: forgetting",
        "What is left of Pong after Breakout?",
        main=r"^(ReSU: before|ReSU, alpha 0\.99|CNN[:,]|.* on Breakout, (fitted|streamed|from scratch))",
        twin="",
    ),
    Step(
        "ppo_pong",
        "7",
        "ppo_pong",
        "--views features frames",
        "Stage 7: PPO on the frozen code",
        "Does reinforcement learning win Pong?",
    ),
    Step(
        "ppo_pong_clone",
        "7",
        "ppo_pong",
        "--start clone --steps 2000000",
        "Stage 7: PPO from a clone",
        "Does it improve on what it begins as?",
    ),
    Step(
        "ppo_pong_breakout",
        "7",
        "ppo_pong",
        "--game breakout --steps 2500000 --seeds 5",
        "Stage 7: PPO on the frozen code, Breakout",
        "Does it beat the published linear features?",
    ),
    Step(
        "ppo_pong_space_invaders",
        "7",
        "ppo_pong",
        "--game space_invaders --steps 2500000 --seeds 5",
        "Stage 7: PPO on the frozen code, Space Invaders",
        "Does it beat the published linear features?",
    ),
    Step(
        "dqn_pong", "7", "dqn_pong", "", "Stage 7: DQN", "Is it the steps, or the code, that the original's DQN lacked?"
    ),
    Step(
        "dqn_pong_warmstart",
        "7",
        "dqn_pong_warmstart",
        "",
        "Stage 7: DQN begun as a clone",
        "Does it collapse, and what keeps it from that?",
    ),
    Step(
        "dqn_pong_original",
        "7",
        "dqn_pong",
        "--arms original --seeds 5",
        "Stage 7: DQN, exploring as the original did",
        "Does it learn nothing in 500,000 steps?",
    ),
    Step(
        "span_ablation",
        "12",
        "span_ablation",
        "",
        "Stage 12: when do canonical directions pay?",
        "Gains over controls of equal size, by filters, memory, features and motion; and what to use when.",
        main=r"^(centre|m = \d+, K = \d, (1,024|256|8,192) ).*\| accuracy, closed form \|",
    ),
    Step("bench_play", "play", "bench_play", "", "Speed of play", "What does a clone cost on top of the emulator?"),
    Step("bc_pong_eval", "4a", "bc_pong_eval"),
    Step("collect_pong_buffer", "2", "collect_pong_buffer"),
    Step("fit_encoder", "core", "fit_encoder", "'data/pong_random_s*_n60000.npy' --out data/pong_encoder.npz"),
    Step("collect_si_buffer", "8", "collect_si_buffer"),
    Step("collect_si_expert_demos", "9b", "collect_si_expert_demos"),
    Step("collect_asteroids_demos", "11", "collect_asteroids_demos"),
    Step("record_gameplay", "10", "record_gameplay", "", "Films", "What do the players look like at play?"),
    Step("record_asteroids", "11", "record_asteroids"),
)
STEPS = tuple(with_twins(MEASURED))


def command(name: str) -> str:
    """What to type to make a result. Raises StopIteration if there is none of this name."""
    return next(step for step in STEPS if step.name == name).command
