"""Failures in words: each with its code, none with a path of this machine."""

import pytest
import torch

from distilled.errors import Problem, RecipeError
from registry.errors import RegistryBusy, RegistryFull, StoreFull
from workers.distill.errors import DatasetUnavailable, NotFinite
from workers.failures import describe


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RecipeError([Problem(pointer="/ipc", detail="at most 5")]), "recipe_error", "/ipc: at most 5"),
        (NotFinite(), "not_finite", "learning_rate"),
        (DatasetUnavailable("upload cifar10"), "dataset_unavailable", "upload cifar10"),
        (torch.OutOfMemoryError("CUDA"), "out_of_memory", "real_batch"),
        (MemoryError(), "out_of_memory", "images per class"),
        (StoreFull(), "store_full", "Free space"),
        (RegistryFull(), "store_full", "Free space"),
        (RegistryBusy(), "registry_busy", "locked"),
    ],
)
def test_known_failures_name_cause_and_fix(error: Exception, code: str, says: str) -> None:
    failure = describe(error)
    assert failure["code"] == code
    assert says in failure["detail"]
    assert failure["title"]


def test_an_unforeseen_failure_shows_its_kind_and_place_and_no_path() -> None:
    try:
        open("/nowhere/secret.bin")  # noqa: SIM115 - it is there to fail
    except OSError as error:
        failure = describe(error)
    assert failure["code"] == "internal"
    assert "FileNotFoundError in test_failures.test_an_unforeseen" in failure["detail"]
    assert "/" not in failure["detail"]
    assert "secret" not in failure["detail"]


def test_an_error_that_was_never_raised_is_described_too() -> None:
    assert describe(KeyError("x"))["detail"].startswith("KeyError. ")
