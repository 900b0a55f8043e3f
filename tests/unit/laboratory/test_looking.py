"""Looking at what is being learnt changes nothing of it, and shows no more than fits."""

import hashlib

import pytest
import torch

from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill.events import Look
from workers.distill.looking import MOST_VALUES, extent, look_at
from workers.distill.loop import run


def outcome(method: str, *, looks: bool, draws: bool = False) -> tuple[str, list[torch.Tensor]]:
    """The digest of the artifact, and what was seen on the way."""
    seen: list[torch.Tensor] = []
    content = b""
    for event in run(toy_recipe(method), toy_data(), code_version="test", looks=looks):
        if isinstance(event, Look) and draws:
            before = torch.get_rng_state()
            seen.append(event.draw())
            assert torch.equal(torch.get_rng_state(), before)
        content = getattr(event, "content", content)
    return hashlib.sha256(content).hexdigest(), seen


@pytest.mark.parametrize("method", ["dm", "frepo", "dim", "remember-the-past"])
def test_looking_changes_no_byte_of_the_artifact(method: str) -> None:
    digest, _ = outcome(method, looks=False)
    looked, seen = outcome(method, looks=True, draws=True)
    assert looked == digest
    assert len(seen) == 1 + toy_recipe(method)["steps"]
    assert not torch.equal(seen[0], seen[-1])
    classes, _images, *shape = seen[0].shape
    assert (classes, shape, seen[0].dtype) == (3, [8, 8, 1], torch.uint8)


def test_a_look_is_a_class_a_row_in_stored_order() -> None:
    space = ImageSpace(shape=(1, 2, 2), mean=(0.0,), std=(1.0,), classes=("a", "b"))
    levels = torch.tensor([10, 20, 30, 40]).view(4, 1, 1, 1) / 255
    seen = look_at(Images(Images.Config(), space=space, images_NCHW=levels.expand(4, 1, 2, 2)))
    assert seen[..., 0, 0, 0].tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize(
    ("shape", "classes", "held", "shown"),
    [
        ((1, 8, 8), 3, 2, (3, 2)),
        ((3, 32, 32), 100, 10, (10, 8)),
        ((3, 224, 224), 10, 2, (1, 1)),
        ((1, 28, 28), 10, 20, (10, 10)),
    ],
)
def test_a_look_shows_no_more_than_fits(
    shape: tuple[int, int, int], classes: int, held: int, shown: tuple[int, int]
) -> None:
    mean = (0.0,) * shape[0]
    names = tuple(str(k) for k in range(classes))
    space = ImageSpace(shape=shape, mean=mean, std=(1.0,) * shape[0], classes=names)
    made = Images(Images.Config(), space=space, images_NCHW=torch.zeros(classes * held, *shape))
    assert extent(made) == shown
    seen = look_at(made)
    assert tuple(seen.shape[:2]) == shown
    assert seen.numel() <= MOST_VALUES or shown == (1, 1)
