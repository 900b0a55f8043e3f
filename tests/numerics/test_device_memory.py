"""What is foreseen of a step's memory, held against what runs take on a CPU.

Each run is a fork of this process, after a small one that has done the imports which torch puts off: what its peak
rises by is its own. On a GPU the jobs' own reports take the place of the forecast.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from distilled import device_memory
from distilled.parametrizations.base import ImageSpace
from distilled.recipe import expand
from workers.distill import loop
from workers.distill.catalog import build
from workers.distill.data import RealData

CLASSES, EACH = ("a", "b", "c", "d"), 256
NETWORK = {"network": "convnet3-w32"}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "dm": (2, {"real_batch": 128}),
    "dsa": (4, {"real_batch": 256}),
    "frepo": (8, {"real_batch": 512, "pool_size": 2}),
    "bptt": (8, {"real_batch": 256, "inner_steps": 3}),
    "mtt": (
        16,
        {"synthetic_steps": 2, "experts": 1, "expert_epochs": 1, "max_start_epoch": 0, "match_epochs": 1},
    ),
}


def data() -> RealData:
    space = ImageSpace(shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.2,) * 3, classes=CLASSES)

    rng = torch.Generator().manual_seed(0)

    def split(each: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels_N = torch.arange(len(CLASSES)).repeat_interleave(each)
        return torch.randint(0, 256, (len(labels_N), 32, 32, 3), dtype=torch.uint8, generator=rng), labels_N

    train, val, test = split(EACH), split(4), split(4)
    return RealData(
        name="toy",
        space=space,
        train_bytes_NHWC=train[0],
        train_labels_N=train[1],
        val_bytes_NHWC=val[0],
        val_labels_N=val[1],
        test_bytes_NHWC=test[0],
        test_labels_N=test[1],
        digest="toy",
        licence="CC0-1.0",
    )


def run(recipe: dict[str, Any], real: RealData) -> None:
    for _ in loop.run(recipe, real, code_version="1"):
        pass


def risen(recipe: dict[str, Any], real: RealData) -> int:
    """Bytes that the resident memory of a fork rises by, at its peak, over a run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            before = status("VmRSS")
            run(recipe, real)
            os.write(writing, str(status("VmHWM") - before).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        answer = told.read()
    os.waitpid(child, 0)
    return int(answer)


def status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("method", sorted(CASES))
def test_the_forecast_is_within_a_factor_of_three(method: str) -> None:
    real, (ipc, options) = data(), CASES[method]
    asked = {"dataset": "toy", "method": method, "ipc": ipc, "steps": 2, "evaluation": {"networks": []}}
    recipe = expand({**asked, "objective": {**options, **NETWORK}}, build())
    small = {name: value for name, value in options.items() if name != "real_batch"}
    run(expand({**asked, "ipc": 1, "objective": {**small, "network": "convnet3-w8"}}, build()), real)
    facts = {"shape": [3, 32, 32], "classes": list(CLASSES), "train_counts": [EACH] * len(CLASSES)}
    stored = len(CLASSES) * ipc * 3 * 32 * 32
    foreseen = device_memory.estimate(recipe, facts, ipc=ipc, stored_bytes=stored) - device_memory.PROCESS_BYTES
    assert 1 / 3 < foreseen / risen(recipe, real) < 3


def test_what_dominates_has_a_knob_and_parts_take_less() -> None:
    facts = {"shape": [3, 32, 32], "classes": list(CLASSES), "train_counts": [EACH] * len(CLASSES)}
    asked = {"dataset": "toy", "method": "dm", "ipc": 1, "objective": {"real_batch": 4096, "network": "resnet18"}}
    recipe = expand(asked, build())
    whole, parts = (device_memory.estimate(recipe, facts, ipc=1, stored_bytes=9, slices=n) for n in (1, 8))
    assert whole > 3 * parts
    assert device_memory.knobs(recipe)[0] == ("objective.real_batch", 4096)
    largest = max(device_memory.terms(recipe, facts, ipc=1), key=lambda term: term.num_bytes)
    assert largest.knob == "objective.real_batch"
