"""A code at work in a game, and how it follows what it sees: new filters, new means, a head that reads noise.

H x W pixels, m taps, D features, C classes; 1 step = 1/15 s of play.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cloning import Clone
from dense_head import DenseHead, SteppedHead
from resu_checks import as_choice
from resu_conv import ReSUEncoder
from resu_noise import noisy_features, wiener
from resu_photometry import MeanPicture, ToneMap, noise_variance, photometric
from resu_streaming import StreamingReSU

MODES = ("photometric", "full", "stream")  # of adaptations
ALPHA = 0.99  # of the mode "stream", per clock
PAST = 32  # frames that any code may need
SEEN = 100  # first frames of a shift, from which noise is told  [steps]
LEAST_NOISE = 1.0  # below it noise is none  [grey values^2]
DRAWS, EPOCHS = 10, 3  # of the noise, for each remembered sample; of a rehearsal


class Eye:
    """A code at one game: the frames that it needs, and its features. Its encoder may be replaced."""

    def __init__(self, encoder: ReSUEncoder) -> None:
        self.encoder = encoder
        self._past: deque[np.ndarray] = deque(maxlen=PAST)
        self._online = encoder.online(1)
        self.features = np.zeros(encoder.n_features, np.float32)

    def look(self, frame: np.ndarray, fresh: bool) -> None:
        """The next frame (H, W), the first of an episode if fresh."""
        if fresh or not self._past:
            self._past.clear()
            self.features = self._online.reset(frame[None])[0]
        else:
            self.features = self._online.step(frame[None])[0]
        self._past.append(frame)

    def become(self, encoder: ReSUEncoder) -> None:
        """Go on with another encoder: from the next frame on as if it had seen the frames before."""
        self.encoder, self._online = encoder, encoder.online(1)
        for i, frame in enumerate(self._past):
            self.features = (self._online.step if i else self._online.reset)(frame[None])[0]


class Adaptation:
    """How a code follows what it sees, anew after every `clock` frames; without labels, while it plays.

    photometric   gain and offset of the mean picture of the last `clock` frames, against the reference
    full          all filters and means, on all frames since this began: `StreamingReSU`, nothing forgotten
    stream        the same, added to the encoder's own moments, which weigh .99 as much after every clock

    reference     mean picture (H, W) of before; the encoder's own mean if None
    """

    def __init__(self, mode: str, clock: int, encoder: ReSUEncoder, reference: np.ndarray | None = None) -> None:
        self.mode, self.clock = as_choice("mode", mode, MODES), clock
        self._first, self._reference = encoder, reference
        self.said = f"adapts in {clock} steps"
        self._mean = MeanPicture()
        if mode == "stream":
            self._stream = StreamingReSU.from_encoder(encoder, ALPHA)
        else:
            self._stream = StreamingReSU(**encoder.options)
        self._chunk: list[np.ndarray] = []
        self._starts: list[int] = []
        self._n = 0

    def look(self, frame: np.ndarray, fresh: bool) -> ReSUEncoder | None:
        """The next frame; now and then an encoder to go on with."""
        self._n += 1
        if self.mode == "photometric":
            self._mean.add(frame)
        else:
            if fresh:
                self._starts.append(len(self._chunk))
            self._chunk.append(frame)
        if self._n % self.clock:
            return None
        try:
            return self._photometric() if self.mode == "photometric" else self._refitted()
        except ValueError as error:
            self.said = str(error)
            return None

    def _photometric(self) -> ReSUEncoder:
        mean, self._mean = self._mean.mean, MeanPicture()
        found = photometric(self._first, mean, self._reference)
        self.said = f"gain {found.gain:.2f}, offset {found.offset:.0f}, {100 * found.residual:.0f} % unexplained"
        return found.encoder

    def _refitted(self) -> ReSUEncoder:
        chunk, starts, self._chunk, self._starts = np.stack(self._chunk), self._starts, [], []
        self._stream.update(chunk, starts=starts)
        found = self._stream.refit()
        self.said = f"fitted anew on {self._n:,} frames"
        return found


@dataclass(frozen=True)
class Memory:
    """What an agent keeps of home, a few megabytes: a picture, and samples of what its head read and said.

    picture    (H, W), the median of some frames      features (N, D) float32, classes (N,): the head's own answers
    """

    picture: np.ndarray
    features: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, clone: Clone, frames: np.ndarray, features: np.ndarray, n: int, n_frames: int, seed: int) -> Memory:
        """n of the features, drawn at random, and the picture of the first n_frames frames."""
        chosen = np.random.default_rng(seed).choice(len(features), min(n, len(features)), replace=False)
        kept = features[np.sort(chosen)]
        return cls(np.median(frames[:n_frames], axis=0), kept, clone.head.predict(kept))


class Denoising:
    """A head that reads through noise, from the `SEEN`-th frame on, if there is noise then. No frame of home, no label.

    how   "Wiener": each feature is estimated by `resu_noise.wiener`, from its mean and variance at home
          "rehearsal": the head is trained on the remembered samples, each with noise drawn `DRAWS` times, to go on
          saying what it said
    """

    def __init__(self, how: str, clone: Clone, memory: Memory, seed: int) -> None:
        self.variance: float | None = None  # of the noise, once it is known  [grey values^2]
        self._how, self._head, self._memory, self._seed = how, clone.head, memory, seed
        self._frames: list[np.ndarray] = []

    def look(self, frame: np.ndarray, encoder: ReSUEncoder) -> DenseHead | None:
        """The next frame; perhaps a head to go on with."""
        if self.variance is not None:
            return None
        self._frames.append(frame)
        if len(self._frames) < SEEN:
            return None
        self.variance, self._frames = noise_variance(np.stack(self._frames)), []
        if self.variance < LEAST_NOISE:
            self.variance = 0.0
            return None
        if self._how == "rehearsal":
            return self._rehearsed(encoder, self.variance)
        kept = self._memory.features
        mean, variance = kept.mean(axis=0, dtype=np.float64), kept.var(axis=0, dtype=np.float64)
        return _behind(self._head, *wiener(encoder, mean, variance, self.variance))

    def _rehearsed(self, encoder: ReSUEncoder, variance: float) -> DenseHead:
        import heads  # torch takes seconds to load, and most agents need none

        kept = self._memory.features
        x = np.concatenate([noisy_features(kept, encoder, variance, i) for i in range(DRAWS)])
        y, n = np.tile(self._memory.classes, DRAWS), len(kept)
        taught, held_out = np.arange(len(x) - n), np.arange(len(x) - n, len(x))
        return heads.fit("mlp", x, y, self._head.sizes[-1], self._seed, taught, held_out, epochs=EPOCHS)


def _behind(head: DenseHead, scale: np.ndarray, offset: np.ndarray) -> DenseHead:
    """The head that reads scale * features + offset, (D,) each."""
    first = head.weights[0].astype(np.float64)
    weight, bias = (first * scale).astype(np.float32), (head.biases[0] + first @ offset).astype(np.float32)
    return DenseHead([weight, *head.weights[1:]], [bias, *head.biases[1:]])


class Statistics:
    """A head that reads features by their mean and deviation of now: what test-time batch normalisation does.

    After every `clock` steps mean and deviation of all features since this began take the place of those at home.
    """

    def __init__(self, memory: Memory, head: DenseHead, clock: int) -> None:
        self._mean, self._deviation, self._floor = _statistics(memory.features)
        self._head, self._clock, self._n = head, clock, 0
        self._sum, self._square = np.zeros(len(self._mean)), np.zeros(len(self._mean))

    def look(self, features: np.ndarray) -> DenseHead | None:
        """The next features (D,); now and then a head to go on with."""
        self._n += 1
        self._sum += features
        self._square += features.astype(np.float64) ** 2
        if self._n % self._clock:
            return None
        mean = self._sum / self._n
        deviation = np.sqrt(np.maximum(self._square / self._n - mean**2, 0))
        scale = self._deviation / np.maximum(deviation, self._floor)
        return _behind(self._head, scale, self._mean - scale * mean)


def _statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(D,) mean, (D,) deviation, and the least deviation that counts, as heads.Scaling has it."""
    deviation = features.std(axis=0, dtype=np.float64)
    floor = float(0.1 * np.sqrt(np.mean(deviation**2))) or 1.0
    return features.mean(axis=0, dtype=np.float64), np.maximum(deviation, floor), floor


Follows = Literal["nothing", "photometric", "full", "stream", "statistics", "tone", "tone, Wiener", "tone, rehearsal"]
FOLLOWS: tuple[Follows, ...] = get_args(Follows)
DENOISED = ("Wiener", "rehearsal")


class LiveClone:
    """A clone that follows what it sees while it plays.

    follows   "nothing"; a mode of `Adaptation`; "statistics"; "tone": every frame in home's grey values; with "Wiener"
              or "rehearsal" besides, where there is noise (`Denoising`)
    memory    of home; not needed by "nothing" and by adaptations
    clock     of adaptations and statistics  [steps]
    Raises    ValueError if a memory is missing.
    """

    def __init__(self, clone: Clone, follows: Follows, memory: Memory | None, clock: int, seed: int) -> None:
        if memory is None and follows != "nothing" and follows not in MODES:
            raise ValueError(f"a clone that follows by {follows!r} needs a memory of home")
        assert isinstance(clone.code, ReSUEncoder)
        self.follows, self.class_names = follows, clone.class_names
        self.eye = Eye(clone.code)
        self._stepped = SteppedHead(clone.head)
        self._adaptation = Adaptation(follows, clock, clone.code) if follows in MODES else None
        self._tone = ToneMap(memory.picture) if memory and "tone" in follows else None
        how = follows.removeprefix("tone, ")
        self._denoising = Denoising(how, clone, memory, seed) if memory and how in DENOISED else None
        self._statistics = Statistics(memory, clone.head, clock) if memory and follows == "statistics" else None

    @property
    def noise(self) -> float:
        """Variance of the noise that was found  [grey values^2]."""
        return (self._denoising.variance or 0.0) if self._denoising else 0.0

    def act(self, frame: np.ndarray, fresh: bool) -> int:
        """See the next frame (H, W), follow, and choose a class."""
        if self._tone is not None:
            frame = self._tone.restored(frame, self.noise)
        self.eye.look(frame, fresh)
        if self._adaptation is not None:
            found = self._adaptation.look(frame, fresh)
            if found is not None:
                self.eye.become(found)
        if self._denoising is not None:
            self._turn_to(self._denoising.look(frame, self.eye.encoder))
        if self._statistics is not None:
            self._turn_to(self._statistics.look(self.eye.features))
        return int(self._stepped.scores(self.eye.features).argmax())

    def _turn_to(self, head: DenseHead | None) -> None:
        if head is not None:
            self._stepped = SteppedHead(head)


class Following:
    """Policy: a clone that follows what it sees by a mode of `Adaptation`, from game to game."""

    def __init__(self, clone: Clone, mode: Follows, clock: int) -> None:
        self._clone, self._mode, self._clock = clone, mode, clock
        self._live: LiveClone | None = None

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game."""
        if self._live is None:
            self._live = LiveClone(self._clone, self._mode, None, self._clock, 0)
        self._actions = [action_names.index(name) for name in self._live.class_names]
        self._fresh = True

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action of the highest-scoring class; only the frame is looked at."""
        assert self._live is not None
        fresh, self._fresh = self._fresh, False
        return self._actions[self._live.act(frame, fresh)]
