"""What a distilled set is worth: test accuracy of fresh networks, beside random images, centroids and full data.

One training recipe, the same seeds, initialisations and orders for all four, networks in evaluation mode, the last
step, the whole test split looked at once. Hard and soft labels are measured apart and never mixed. What can make any
number of images is measured in two modes, `fixed` and `fresh` (`workers.distill.drawn`); `hard` and `soft` are `fixed`.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
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

__all__ = ["EvaluationConfig", "baseline_keys", "baseline_keys_of", "evaluate"]

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
    rng = Rng(seed).child("evaluate", network)
    bench = _Bench(real, network=network, config=config, rng=rng, device=device)
    opened = open_artifact(content)
    parametrization, ipc = opened.parametrization.to(device), drawn.images_per_class(opened, config)
    per_class = parametrization.num_bytes() / real.space.num_classes
    sources = _distilled_sets(parametrization, ipc, bench=bench)
    images = len(sources["hard"][0])
    sizes: dict[str, dict[str, int]] = {}
    known = dict(baselines or {})
    beside = () if real.absent else BASELINES
    for name in beside:
        if name not in known:
            sets = _baseline_sets(name, real, per_class, repeats=config.repeats, rng=rng)
            sources[name] = [_of_bytes(real, *one, device) for one in sets]
            count = len(sets[0][1])
            sizes[name] = {"bytes": count * real_sets.real_image_bytes(real.space), "images": count}
    told = _Progress(on_progress, total=sum(config.num_steps(len(sets[0])) for sets in sources.values()))
    measured = {name: summary(bench.measure(sets, told=told)) for name, sets in sources.items()}
    against = {name: known.get(name) or measured[name] | sizes[name] for name in beside}
    return {
        "network": network,
        "labels": "hard",
        "recipe": asdict(config),
        "repeats": config.repeats,
        "distilled": {name: measured[name] | _seen(sources[name], ipc) for name in MODES if name in measured}
        | {"bytes": parametrization.num_bytes(), "images": images}
        | ({} if ipc is None else {"ipc": ipc}),
        **against,
        **({"absent": list(real.absent)} if real.absent else {}),
        "hlr": hlr(against["full"], measured["hard"]) if beside else None,
        "ior": ior(measured["hard"], against["random"]) if beside else None,
        "baseline_keys": baseline_keys(real, network=network, config=config, seed=seed, bytes_per_class=per_class),
    }


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
    name: str, real: RealData, bytes_per_class: float, *, repeats: int, rng: Rng
) -> list[tuple[Tensor, Tensor]]:
    """(bytes_NHWC, labels_N) of a baseline: one for all repeats, but random images are drawn anew for each."""
    if name == "full":
        return [(real.train_bytes_NHWC, real.train_labels_N)]
    counts = real_sets.images_per_class(real, bytes_per_class)
    if name == "random":
        return [real_sets.random_images(real, counts, rng=rng.child("random", r)) for r in range(repeats)]
    return [real_sets.centroids(real, counts, rng=rng.child("centroid"))]


def _distilled_sets(
    parametrization: Parametrization, ipc: int | None, *, bench: "_Bench"
) -> dict[str, list[TrainingSet]]:
    """mode -> the set that the artifact gives all repeats, or each of them."""
    to = bench.real.space
    held = drawn.fixed(parametrization, ipc)
    images_NCHW = drawn.in_space(held.images_NCHW, of=parametrization.space, to=to).to(bench.device)
    targets = {"hard": held.labels_N.to(bench.device)} | ({"soft": held.targets.to(bench.device)} if held.soft else {})
    out = {
        name: [TrainingSet(images_at=lambda index_N: images_NCHW[index_N], targets=own)]
        for name, own in targets.items()
    }
    if ipc is not None:
        for name, own in targets.items():
            mode = "fresh" if name == "hard" else "fresh_soft"
            out[mode] = drawn.fresh(parametrization, ipc, own, rngs=bench.rngs, to=to)
    return out


def _seen(sets: Sequence[TrainingSet], ipc: int | None) -> dict[str, int]:
    """Different images that one network saw, where that is not the size of the artifact's fixed set."""
    if ipc is None:
        return {}
    made = sets[0].images_at
    return {"images_seen": made.seen if isinstance(made, drawn.FreshImages) else len(sets[0])}


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

    def measure(self, sets: Sequence[TrainingSet], *, told: "_Progress") -> list[float]:
        """Test accuracy of each repeat, trained on its own set, or on the only one."""
        each = list(sets) if len(sets) > 1 else [sets[0]] * self.config.repeats
        _, height, width = self.real.space.shape
        at_once = MAX_PIXELS_AT_ONCE["cuda" if self.device.startswith("cuda") else "cpu"]
        turn = max(1, at_once // (min(self.config.batch, len(each[0])) * height * width))
        found: list[float] = []
        for start in range(0, len(each), turn):
            rngs = self.rngs[start : start + turn]
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
                each[start : start + turn],
                self.config,
                operations=operations_for(self.real.space),
                rngs=rngs,
                on_step=partial(told.add, len(rngs) / len(each)),
            )
            found += accuracies(nets, self.test.images_at, self.test.targets, copies=len(rngs))
        return found


class _Progress:
    """Steps done of a known number, told as 0..1."""

    def __init__(self, tell: Callable[[float], None] | None, *, total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0.0

    def add(self, steps: float) -> None:
        self._done += steps
        if self._tell is not None:
            self._tell(min(1.0, self._done / self._total))
