"""Images that are stored smaller than they are: what is recalled, what they cost, and what cannot be."""

import pytest
import torch
from torch.nn import functional

from distilled.budget import holding
from distilled.errors import ArtifactError, RecipeError
from distilled.files import open_artifact, pack
from distilled.images import to_pixels
from distilled.parametrizations.images import Images
from distilled.recipe import expand
from tests.unit.laboratory.toys import toy_data
from tests.unit.reading.test_files import HEADER, SPACE
from workers.distill.catalog import build
from workers.distill.events import Finished
from workers.distill.loop import run

CIFAR = {"name": "cifar10", "shape": [3, 32, 32], "classes": [str(k) for k in range(10)], "train_counts": [4500] * 10}


def small(*, storage="uint8", labels="hard", times=2):
    drawn_NCHW = torch.randn(6, 1, 4 // times, 4 // times, generator=torch.Generator().manual_seed(0))
    made = Images(Images.Config(storage=storage, labels=labels, downsample=times), space=SPACE, images_NCHW=drawn_NCHW)
    made.project()
    return made


def header(made):
    config = {name: getattr(made.config, name) for name in ("storage", "labels", "downsample")}
    return HEADER | {"config": config}


@pytest.mark.parametrize("storage", ["uint8", "float16", "float32"])
@pytest.mark.parametrize("times", [2, 4])
def test_small_images_come_back_at_full_size(storage, times):
    made = small(storage=storage, times=times)
    content = pack(made, header(made))
    opened = open_artifact(content)
    recalled = opened.parametrization.whole().images_NCHW
    assert recalled.shape == (6, 1, 4, 4)
    wanted = functional.interpolate(made.images_NCHW, size=(4, 4), mode="bilinear", align_corners=False)
    tolerance = {"uint8": 0.5 / 255 / 0.3 + 1e-6, "float16": 2e-3, "float32": 0}[storage]
    assert (recalled - wanted).abs().max() <= tolerance
    assert pack(opened.parametrization, opened.header) == content, "a second trip changes nothing"


def test_what_is_recalled_stays_inside_the_range_that_is_stored():
    pixels_NCHW = to_pixels(small().whole().images_NCHW.detach(), mean=SPACE.mean, std=SPACE.std)
    assert pixels_NCHW.min() >= -1e-6
    assert pixels_NCHW.max() <= 1 + 1e-6


def test_an_artifact_that_names_no_downsample_is_stored_at_full_size():
    whole = Images(Images.Config(), space=SPACE, images_NCHW=torch.zeros(6, 1, 4, 4))
    opened = open_artifact(pack(whole, HEADER | {"config": {"storage": "uint8", "labels": "hard"}}))
    assert opened.parametrization.whole().images_NCHW.shape == (6, 1, 4, 4)


def test_images_of_another_size_than_the_header_says_are_refused():
    made = small()
    content = pack(made, HEADER | {"config": {"storage": "uint8", "labels": "hard"}})
    with pytest.raises(ArtifactError, match="do not fit"):
        open_artifact(content)


def recipe(budget, **options):
    parametrization = {"kind": "images", "storage": "uint8", "labels": "hard", "downsample": 1, **options}
    return {**budget, "parametrization": parametrization}


@pytest.mark.parametrize(
    ("budget", "options", "per_class", "size"),
    [
        ({"ipc": 10}, {}, 10, 10 * 10 * 3073),
        ({"ipc": 10}, {"downsample": 2}, 40, 10 * 40 * 769),
        ({"ipc": 1}, {"downsample": 4, "labels": "soft"}, 16, 10 * 16 * (192 + 40)),
        ({"bytes": 30730}, {"downsample": 2}, 3, 10 * 3 * 769),
    ],
)
def test_a_budget_buys_more_of_smaller_images(budget, options, per_class, size):
    held = holding(recipe(budget, **options), CIFAR)
    assert (held.per_class, held.bytes) == (per_class, size)
    assert holding(recipe({"bytes": size}, **options), CIFAR).per_class == per_class


def test_a_job_that_an_earlier_version_queued_names_no_downsample():
    older = {"ipc": 10, "parametrization": {"kind": "images", "storage": "uint8", "labels": "hard"}}
    assert holding(older, CIFAR) == holding(recipe({"ipc": 10}), CIFAR)


@pytest.mark.parametrize(("options", "pointer"), [({"downsample": 3}, "/parametrization/downsample")])
def test_what_cannot_be_stored_smaller_is_refused_with_its_field(options, pointer):
    with pytest.raises(RecipeError, match="give a divisor of both sides") as refused:
        holding(recipe({"ipc": 1}, **options), CIFAR)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


@pytest.mark.parametrize(
    "objective",
    [
        {"kind": "distribution", "network": "mlp-w16", "real_batch": 8},
        {"kind": "statistics", "network": "convnet1-w8-batch", "teacher_epochs": 1, "teacher_batch": 20},
    ],
)
def test_small_images_are_learnt_from_end_to_end(objective):
    asked = {
        "dataset": "toy",
        "ipc": 1,
        "steps": 2,
        "seed": 0,
        "parametrization": {"kind": "images", "downsample": 2, "labels": "soft"},
        "objective": objective,
        "selection": {"start": "random", "batches": "random"},
        "penalties": [],
        "evaluation": {"networks": ["mlp-w16"]},
    }
    *_, finished = run(expand(asked, build()), toy_data(), device="cpu", code_version="test")
    assert isinstance(finished, Finished)
    held = open_artifact(finished.content).parametrization
    assert held.per_class == 4
    assert held.images_NCHW.shape == (12, 1, 4, 4)
    assert held.whole().images_NCHW.shape == (12, 1, 8, 8)
