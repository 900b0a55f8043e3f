"""The set in memory: what is in it, in which order, and how it is dealt without end."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import distilled
from distilled.errors import InvalidInput
from distilled.files import Artifact, open_artifact, pack
from distilled.images import from_bytes, standardise
from distilled.torch_data import DistilledDataset
from tests.unit.app.conftest import memory_file
from tests.unit.reading.generators import generator, header


def test_a_file_is_a_data_set_without_any_service(path: Path) -> None:
    dataset = distilled.DistilledDataset(distilled.open(path))
    assert len(dataset) == 9
    assert dataset.classes == ["cat", "dog", "a,b"]
    image, label = dataset[4]
    assert (tuple(image.shape), image.dtype, label) == ((3, 4, 4), torch.float32, 1)
    assert len(distilled.DistilledDataset(str(path))) == 9


def test_floats_are_the_stored_ones_and_bytes_are_those_of_the_same_images(hard: Artifact) -> None:
    floats, pixels = DistilledDataset(hard), DistilledDataset(hard, dtype="uint8")
    torch.testing.assert_close(floats.images_NCHW, hard.parametrization.whole().images_NCHW, rtol=0, atol=0)
    space = hard.parametrization.space
    again = standardise(from_bytes(pixels.images_NCHW.permute(0, 2, 3, 1)), mean=space.mean, std=space.std)
    torch.testing.assert_close(floats.images_NCHW, again)
    assert pixels[0][0].dtype == torch.uint8


def test_a_smaller_set_is_the_beginning_of_a_larger_one(hard: Artifact) -> None:
    whole, small = DistilledDataset(hard), DistilledDataset(hard, ipc=2)
    assert len(small) == 6
    torch.testing.assert_close(small.images_NCHW, whole.images_NCHW[[0, 1, 3, 4, 6, 7]], rtol=0, atol=0)


@pytest.mark.parametrize("asked", [["a,b", 0], "2,cat", ["2", "cat"]])
def test_classes_go_by_name_or_index_in_the_order_asked_for(hard: Artifact, asked: Any) -> None:
    dataset = DistilledDataset(hard, classes=asked, ipc=1)
    assert [label for _, label in (dataset[i] for i in range(2))] == [2, 0]


def test_soft_labels_come_where_they_are_held_unless_they_are_not_wanted(soft: Artifact) -> None:
    label = DistilledDataset(soft)[0][1]
    assert tuple(label.shape) == (3,)
    assert float(label.sum()) == pytest.approx(1.0)
    assert DistilledDataset(soft, soft=False)[8][1] == 2


def test_transforms_see_each_image_and_each_label(hard: Artifact) -> None:
    dataset = DistilledDataset(hard, transform=lambda image: image.flip(-1), target_transform=lambda label: label + 10)
    image, label = dataset[0]
    torch.testing.assert_close(image, dataset.images_NCHW[0].flip(-1))
    assert label == 10


def test_a_memory_and_a_generator_are_sets_too() -> None:
    memory = DistilledDataset(open_artifact(memory_file()[0]))
    assert (len(memory), memory.ipc) == (15, 5)
    made = generator()
    content = pack(made, header(made))
    budget, more = DistilledDataset(open_artifact(content)), DistilledDataset(open_artifact(content), ipc=7)
    assert (len(budget), len(more)) == (budget.ipc * len(budget.classes), 7 * len(budget.classes))


def test_what_cannot_be_had_is_refused_by_name(hard: Artifact) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("/ipc", {"ipc": 4}),
        ("/ipc", {"ipc": 0}),
        ("/ipc", {"ipc": -1}),
        ("/classes", {"classes": ["bird"]}),
        ("/classes", {"classes": ["3"]}),
        ("/classes", {"classes": []}),
        ("/classes", {"classes": ["cat", 0]}),
        ("/dtype", {"dtype": "float16"}),
        ("/soft", {"soft": True}),
    ]
    for pointer, options in refused:
        with pytest.raises(InvalidInput) as caught:
            DistilledDataset(hard, **options)
        assert [problem.pointer for problem in caught.value.problems] == [pointer]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_it_goes_through_a_data_loader_and_through_pickle(hard: Artifact) -> None:
    dataset = DistilledDataset(hard)
    torch.testing.assert_close(pickle.loads(pickle.dumps(dataset)).images_NCHW, dataset.images_NCHW)  # noqa: S301 - our own bytes
    seen = [labels for _, labels in DataLoader(dataset, batch_size=4, num_workers=2)]
    assert torch.cat(seen).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_batches_of_a_set_follow_from_what_it_is(hard: Artifact) -> None:
    dataset = DistilledDataset(hard)
    images, labels = dataset.batch(2, size=20, seed=5)
    assert (images.shape, labels.shape) == ((20, 3, 4, 4), (20,))
    assert Counter(dataset.batch(0, size=9, seed=1).labels.tolist()) == {0: 3, 1: 3, 2: 3}
    torch.testing.assert_close(DistilledDataset(hard).batch(2, size=20, seed=5).images, images, rtol=0, atol=0)
    assert not torch.equal(dataset.batch(2, size=20, seed=6).images, images)
    assert not torch.equal(dataset.batch(3, size=20, seed=5).images, images)
