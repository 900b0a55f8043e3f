"""What batches by importance cost: the time of a run with them, beside the same run with uniform ones.

    python -m benchmarks.importance_overhead > benchmarks/results/importance_overhead.md

On digits, without a service. On the CPU it is the processor's time that counts, which neighbours on the machine disturb
less; else the clock's. Runs alternate; the ratio is that of the median times. `inside` is what a step spends inside the
sampler (draws, scores, probes). `overhead`, the sharper figure, is what it spends there beyond what uniform batches do,
as a share of a step with these; at most 5 % is what is promised.
"""

import argparse
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks._machine import machine
from distilled.recipe import expand
from workers.distill import data
from workers.distill.batches import Uniform
from workers.distill.catalog import build
from workers.distill.events import Progress
from workers.distill.loop import run
from workers.distill.memory import keep_freed_memory
from workers.distill.selection.importance import Importance

#: Small runs on digits; real batches below the images there are, or importance would have nothing to choose from.
RECIPES: dict[str, dict[str, Any]] = {
    "kip": {"method": "kip", "ipc": 10, "steps": 400, "objective": {"real_batch": 512}},
    "frepo": {"method": "frepo", "ipc": 1, "steps": 100, "objective": {"network": "convnet2-w32", "real_batch": 256}},
    "bptt": {
        "method": "bptt",
        "ipc": 1,
        "steps": 40,
        "objective": {"network": "convnet2-w32", "inner_steps": 10, "real_batch": 256},
    },
    "dm": {"method": "dm", "ipc": 10, "steps": 500, "objective": {"network": "convnet2-w32", "real_batch": 64}},
}


def main() -> int:
    """Print a Markdown record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    keep_freed_memory()
    real = data.load("digits", data_dir=Path("."), download=False)
    print(f"# What batches by importance cost\n\n- machine: {machine()}\n- device: {asked.device}")
    print(f"- command: `python -m benchmarks.importance_overhead --repeats {asked.repeats} --device {asked.device}`")
    print(f"- digits, {asked.repeats} runs of each kind in turns; milliseconds a step: median (mean ± std)\n")
    print("| recipe | steps | random | importance | ratio of medians | inside: random | importance | overhead |")
    print("|---|---|---|---|---|---|---|---|")
    for name, recipe in RECIPES.items():
        random: list[_Times] = []
        importance: list[_Times] = []
        for _ in range(asked.repeats):
            random.append(_measured(recipe, "random", real, device=asked.device))
            importance.append(_measured(recipe, "importance", real, device=asked.device))
        steps = [[times.step for times in one] for one in (random, importance)]
        insides = [[times.inside for times in one] for one in (random, importance)]
        ratio = median(steps[1]) / median(steps[0])
        overhead = (median(insides[1]) - median(insides[0])) / median(steps[0])
        cells = [name, str(recipe["steps"]), *map(_cell, steps), f"{ratio:.3f}", *map(_cell, insides)]
        print(f"| {' | '.join(cells)} | {100 * overhead:.1f} % |", flush=True)
    return 0


class _Times(NamedTuple):
    """Seconds of a step, and those of them that are spent inside the sampler."""

    step: float
    inside: float


def _measured(recipe: dict[str, Any], batches: str, real: data.RealData, *, device: str) -> _Times:
    """The mean over a run, from the end of its first step to the end of its last."""
    whole = expand({"dataset": "digits", "selection": {"batches": batches}, **recipe}, build())
    now = time.process_time if device == "cpu" else time.perf_counter
    ends: list[float] = []
    with _inside(Uniform if batches == "random" else Importance, now) as inside:
        for event in run(whole, real, device=device, code_version="benchmark"):
            if isinstance(event, Progress):
                ends.append(now())
                if len(ends) == 1:
                    inside.clear()
    steps = len(ends) - 1
    return _Times((ends[-1] - ends[0]) / steps, sum(inside) / steps)


@contextmanager
def _inside(sampler: type, now: Callable[[], float]) -> Generator[list[float]]:
    """The seconds of each call of a sampler, as they are spent."""
    spent: list[float] = []

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = now()
            try:
                return method(*arguments, **options)
            finally:
                spent.append(now() - began)

        return call

    with ExitStack() as stack:
        for name in ("refresh", "observe", "mixed", "of_class"):
            stack.enter_context(patch.object(sampler, name, timed(getattr(sampler, name))))
        yield spent


def _cell(seconds: list[float]) -> str:
    spread = stdev(seconds) if len(seconds) > 1 else 0
    return f"{1e3 * median(seconds):.2f} ({1e3 * fmean(seconds):.2f} ± {1e3 * spread:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
