"""What a distilled set is worth: test accuracy of fresh networks, beside random images, centroids and full data.

One training recipe, the same seeds, initialisations and orders for all four, networks in evaluation mode, the last
step, the whole test split looked at once. Hard and soft labels are measured apart and never mixed. What can make any
number of images is measured in two modes, `fixed` and `fresh` (`workers.distill.drawn`); `hard` and `soft` are `fixed`.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import Tensor

from distilled.files import open_artifact
from distilled.manifest import digest_json
from distilled.parametrizations.base import Parametrization
from workers.distill import baselines as real_sets
from workers.distill import drawn, networks
from workers.distill.augment import operations_for
from workers.distill.data import RealData
from workers.distill.rng import Rng
from workers.distill.scores import hlr, ior, summary
from workers.distill.training import EvaluationConfig, TrainingSet, accuracies, train

__all__ = ["EvaluationConfig", "Measurement", "Turn", "baseline_keys", "baseline_keys_of", "evaluate"]

BASELINES = ("random", "centroid", "full")
#: What is measured of an artifact: its fixed set with hard and with soft labels, and both with new images at each step.
MODES = ("hard", "soft", "fresh", "fresh_soft")
#: Counts up when the baselines' rules change, so that baselines measured under other rules are not taken for ours.
RULES = 1
#: Pixels in one step of all networks side by side; beyond it they are trained in turns, to bound memory.
MAX_PIXELS_AT_ONCE = {"cpu": 2**19, "cuda": 2**22}


def evaluate(
    content: bytes,
    real: RealData,
    *,
    network: str,
    config: EvaluationConfig,
    seed: int,
    device: str = "cpu",
    baselines: Mapping[str, Any] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Measure an artifact file on one network. The answer is plain data; accuracies are in 0..1.

    baselines: what of `random`, `centroid` and `full` earlier answers hold under the same of `baseline_keys`; it is
    taken over unmeasured.
    on_progress: called with 0..1 after every step; what it raises ends the evaluation. Where `real` lacks classes of
    the artifact, the networks are tested on the others and `absent` names those; there are no baselines then, as they
    would have fewer classes to tell apart. Raises ArtifactError where the content is no artifact, ValueError where the
    network cannot look at its images.
    """
    measurement = Measurement(content, real, network=network, config=config, seed=seed, device=device)
    known = dict(baselines or {})
    turns = measurement.turns(known)
    told = _Progress(on_progress, total=sum(turn.steps for turn in turns))
    measured = [measurement.measure(turn, on_step=partial(told.add, turn.share)) for turn in turns]
    return measurement.result(turns, measured, baselines=known)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is measured at once: repeats `start` to `stop` (not included) of one set, their networks side by side.

    Who sums over a batch of several networks gets other last digits than over one, so a turn is never split: an
    evaluation has the same turns, and the same numbers, whoever measures them. steps: what it takes, in training steps
    of all repeats together; share: the part of one step of theirs that is its own.
    """

    name: str
    start: int
    stop: int
    steps: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """As it is told to who measures it."""
        return asdict(self)


class Measurement:
    """An evaluation in turns, to be measured in any order and by anyone; the arguments are those of `evaluate`."""

    def __init__(
        self, content: bytes, real: RealData, *, network: str, config: EvaluationConfig, seed: int, device: str = "cpu"
    ) -> None:
        self.real, self.network, self.config, self.seed = real, network, config, seed
        self._rng = Rng(seed).child("evaluate", network)
        self._bench = _Bench(real, network=network, config=config, rng=self._rng, device=device)
        opened = open_artifact(content)
        self._parametrization = opened.parametrization.to(device)
        self._ipc = drawn.images_per_class(opened, config)
        self._bytes = opened.parametrization.num_bytes()
        self._per_class = self._bytes / real.space.num_classes
        self._fixed = _fixed_sets(self._parametrization, self._ipc, bench=self._bench)
        self._kept: dict[str, list[TrainingSet]] = {}

    @property
    def baseline_keys(self) -> dict[str, str]:
        """As `baseline_keys` of the module."""
        return baseline_keys(
            self.real, network=self.network, config=self.config, seed=self.seed, bytes_per_class=self._per_class
        )

    def turns(self, known: Collection[str] = ()) -> list[Turn]:
        """All that there is to measure but for the baselines that are known, the longest first."""
        out: list[Turn] = []
        repeats = self.config.repeats
        for name, size in self._sizes().items():
            if name in known:
                continue
            steps, at_once = self.config.num_steps(size), self._bench.at_once(size)
            for start in range(0, repeats, at_once):
                stop = min(start + at_once, repeats)
                share = (stop - start) / repeats
                out.append(Turn(name=name, start=start, stop=stop, steps=steps * share, share=share))
        return sorted(out, key=lambda turn: -turn.steps)

    def measure(self, turn: Turn, *, on_step: Callable[[], None]) -> dict[str, Any]:
        """The test accuracies of a turn's networks as plain data. on_step: as of `training.train`."""
        sets = self._sets(turn)
        values = self._bench.measure(sets, start=turn.start, stop=turn.stop, on_step=on_step)
        made = sets[0].images_at
        return {"values": values, "seen": made.seen if isinstance(made, drawn.FreshImages) else len(sets[0])}

    def result(
        self, turns: Sequence[Turn], measured: Sequence[Mapping[str, Any]], *, baselines: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer of `evaluate`, of what was measured in each of all turns."""
        parts = sorted(zip(turns, measured, strict=True), key=lambda pair: pair[0].start)
        values: dict[str, list[float]] = {}
        seen: dict[str, int] = {}
        for turn, part in parts:
            values.setdefault(turn.name, []).extend(part["values"])
            seen.setdefault(turn.name, part["seen"])
        scores = {name: summary(found) for name, found in values.items()}
        beside, sizes = self._beside, self._sizes()
        one = real_sets.real_image_bytes(self.real.space)
        against = {
            name: baselines.get(name) or scores[name] | {"bytes": sizes[name] * one, "images": sizes[name]}
            for name in beside
        }
        told = {
            name: scores[name] | ({} if self._ipc is None else {"images_seen": seen[name]})
            for name in MODES
            if name in scores
        }
        return {
            "network": self.network,
            "labels": "hard",
            "recipe": asdict(self.config),
            "repeats": self.config.repeats,
            "distilled": told
            | {"bytes": self._bytes, "images": sizes["hard"]}
            | ({} if self._ipc is None else {"ipc": self._ipc}),
            **against,
            **({"absent": list(self.real.absent)} if self.real.absent else {}),
            "hlr": hlr(against["full"], scores["hard"]) if beside else None,
            "ior": ior(scores["hard"], against["random"]) if beside else None,
            "baseline_keys": self.baseline_keys,
        }

    @property
    def _beside(self) -> tuple[str, ...]:
        return () if self.real.absent else BASELINES

    def _sizes(self) -> dict[str, int]:
        """set -> how many images it has."""
        fixed = len(self._fixed["hard"])
        sizes = dict.fromkeys(self._fixed, fixed)
        if self._ipc is not None:
            sizes |= {_fresh_mode(name): fixed for name in self._fixed}
        counts = sum(real_sets.images_per_class(self.real, self._per_class))
        whole = {"random": counts, "centroid": counts, "full": len(self.real.train_labels_N)}
        return sizes | {name: whole[name] for name in self._beside}

    def _sets(self, turn: Turn) -> list[TrainingSet]:
        """The set of a turn, for all its repeats or one for each."""
        if turn.name in self._fixed:
            return [self._fixed[turn.name]]
        for name, held in self._fixed.items():
            if turn.name == _fresh_mode(name) and self._ipc is not None:
                # Made anew each time: the images that it makes depend on how many it has made.
                rngs = self._bench.rngs[turn.start : turn.stop]
                return drawn.fresh(self._parametrization, self._ipc, held.targets, rngs=rngs, to=self.real.space)
        if turn.name == "random":
            return self._baseline("random", range(turn.start, turn.stop))
        if turn.name not in self._kept:
            self._kept[turn.name] = self._baseline(turn.name, range(turn.start, turn.stop))
        return self._kept[turn.name]

    def _baseline(self, name: str, repeats: range) -> list[TrainingSet]:
        sets = _baseline_sets(name, self.real, self._per_class, repeats=repeats, rng=self._rng)
        return [_of_bytes(self.real, *one, self._bench.device) for one in sets]


def baseline_keys(
    real: RealData, *, network: str, config: EvaluationConfig, seed: int, bytes_per_class: float
) -> dict[str, str]:
    """For each baseline a sha256 (hex) that two evaluations share exactly if it is the same measurement.

    Full data are the same whatever the artifact's size: by far the longest measurement is made once for all sizes. No
    baseline depends on `config.ipc`: what is compared are bytes.
    Where classes are absent there are no baselines, and no keys.
    """
    shared = {
        "rules": RULES,
        "dataset": real.digest,
        "space": real.space.to_json(),
        "network": network,
        "config": {name: value for name, value in asdict(config).items() if name != "ipc"},
        "seed": seed,
    }
    sized = shared | {"images_per_class": list(real_sets.images_per_class(real, bytes_per_class))}
    beside = () if real.absent else BASELINES
    return {name: digest_json((shared if name == "full" else sized) | {"baseline": name}) for name in beside}


def baseline_keys_of(
    content: bytes, real: RealData, *, network: str, config: EvaluationConfig, seed: int
) -> dict[str, str]:
    """The baseline keys of an artifact file's evaluation, before it is made."""
    per_class = open_artifact(content).parametrization.num_bytes() / real.space.num_classes
    return baseline_keys(real, network=network, config=config, seed=seed, bytes_per_class=per_class)


def _baseline_sets(
    name: str, real: RealData, bytes_per_class: float, *, repeats: range, rng: Rng
) -> list[tuple[Tensor, Tensor]]:
    """(bytes_NHWC, labels_N) of a baseline: one for all repeats, but random images are drawn anew for each."""
    if name == "full":
        return [(real.train_bytes_NHWC, real.train_labels_N)]
    counts = real_sets.images_per_class(real, bytes_per_class)
    if name == "random":
        return [real_sets.random_images(real, counts, rng=rng.child("random", r)) for r in repeats]
    return [real_sets.centroids(real, counts, rng=rng.child("centroid"))]


def _fixed_sets(parametrization: Parametrization, ipc: int | None, *, bench: "_Bench") -> dict[str, TrainingSet]:
    """hard, soft -> the set that the artifact gives all repeats; soft only where it has soft labels."""
    held = drawn.fixed(parametrization, ipc)
    images_NCHW = drawn.in_space(held.images_NCHW, of=parametrization.space, to=bench.real.space).to(bench.device)
    targets = {"hard": held.labels_N.to(bench.device)} | ({"soft": held.targets.to(bench.device)} if held.soft else {})
    return {
        name: TrainingSet(images_at=lambda index_N: images_NCHW[index_N], targets=own) for name, own in targets.items()
    }


def _fresh_mode(name: str) -> str:
    """`fresh` beside `hard`, `fresh_soft` beside `soft`."""
    return "fresh" if name == "hard" else "fresh_soft"


def _of_bytes(real: RealData, bytes_NHWC: Tensor, targets: Tensor, device: str) -> TrainingSet:
    """Bytes stay bytes until a batch needs them: CIFAR-10 is 138 MB so, and four times that as floats."""
    held_NHWC = bytes_NHWC.to(device)
    return TrainingSet(images_at=lambda index_N: real.images_NCHW(held_NHWC[index_N]), targets=targets.to(device))


class _Bench:
    """Everything that is the same for all sets that are compared."""

    def __init__(self, real: RealData, *, network: str, config: EvaluationConfig, rng: Rng, device: str) -> None:
        self.real, self.network, self.config, self.device = real, network, config, device
        self.rngs = [rng.child("repeat", r) for r in range(config.repeats)]
        self.test = _of_bytes(real, real.test_bytes_NHWC, real.test_labels_N, device)

    def at_once(self, size: int) -> int:
        """So many networks are trained side by side on sets of this size."""
        _, height, width = self.real.space.shape
        most = MAX_PIXELS_AT_ONCE["cuda" if self.device.startswith("cuda") else "cpu"]
        return max(1, most // (min(self.config.batch, size) * height * width))

    def measure(
        self, sets: Sequence[TrainingSet], *, start: int, stop: int, on_step: Callable[[], None]
    ) -> list[float]:
        """Test accuracy of repeats `start` to `stop`, each trained on its own set, or on the only one."""
        rngs = self.rngs[start:stop]
        made = [
            networks.make(
                self.network,
                space_shape=self.real.space.shape,
                num_classes=self.real.space.num_classes,
                rng=rng.child("network").generator(),
            )
            for rng in rngs
        ]
        nets = type(made[0]).side_by_side(made).to(self.device)
        train(
            nets,
            list(sets) if len(sets) > 1 else [sets[0]] * len(rngs),
            self.config,
            operations=operations_for(self.real.space),
            rngs=rngs,
            on_step=on_step,
        )
        return accuracies(nets, self.test.images_at, self.test.targets, copies=len(rngs))


class _Progress:
    """Steps done of a known number, told as 0..1."""

    def __init__(self, tell: Callable[[float], None] | None, *, total: float) -> None:
        self._tell, self._total, self._done = tell, total, 0.0

    def add(self, steps: float) -> None:
        self._done += steps
        if self._tell is not None:
            self._tell(min(1.0, self._done / self._total))
