"""The measure and the competitors of benchmarks/continual.py: what they keep, and that they learn from nothing else."""

import pytest
import torch

from benchmarks.continual import Course, forgetting, part
from tests.unit.laboratory.toys import toy_data

REAL = toy_data()
PLAN = {"recipe": {}, "evaluation": {"network": "mlp-w8", "steps": 2, "epochs": 1, "repeats": 2, "augment": "none"}}
ONE = 8 * 8 + 1  # bytes of a real image with its label


def course(images=12):
    return Course(REAL, 3, PLAN, num_bytes=images * ONE + ONE - 1, seed=0, device="cpu")


def shown(held):
    return {tuple(image.flatten().tolist()) for image in held.images_at(torch.arange(len(held)))}


@pytest.mark.parametrize(
    ("rows", "lost"),
    [
        ([[0.9], [0.5, 0.8]], 0.4),
        ([[0.9], [0.95, 0.8], [0.7, 0.2, 1.0]], (0.25 + 0.6) / 2),
        ([[0.5], [0.6, 0.8]], -0.1),
        ([[0.9, 0.8]], None),
    ],
)
def test_forgetting_is_the_best_before_less_the_last(rows, lost):
    assert forgetting(rows) == (lost if lost is None else pytest.approx(lost))


def test_a_task_is_a_data_set_of_its_own():
    one = part(REAL, range(1, 3))
    assert one.space.classes == ("right", "middle")
    assert one.train_counts == (20, 20)
    assert torch.equal(one.train_bytes_NHWC, REAL.train_bytes_NHWC[REAL.train_labels_N > 0])
    assert one.digest not in (REAL.digest, part(REAL, range(1)).digest)


@pytest.mark.parametrize("kind", ["_reservoir", "_balanced"])
def test_what_is_kept_was_kept_before_or_has_come_since(kind):
    before = None
    for t in range(3):
        held, num_bytes = getattr(course(), kind)(t)
        assert (len(held), num_bytes) == (12, 12 * ONE)
        assert set(held.targets.tolist()) == set(range(t + 1))
        old = {tuple(held.images_at(torch.tensor([i])).flatten().tolist()) for i in range(12) if held.targets[i] < t}
        assert before is None or old <= before
        before = shown(held)


def test_balanced_means_as_many_of_each_class():
    assert torch.bincount(course()._balanced(2)[0].targets).tolist() == [4, 4, 4]


def test_the_rows_grow_with_the_tasks_and_joint_has_one():
    rows, kept = course().measured("fine-tuning")
    assert [len(row) for row in rows] == [1, 2, 3]
    assert kept == {"bytes": 0, "images": 0}
    rows, kept = course().measured("joint")
    assert [len(row) for row in rows] == [3]
    assert kept == {"bytes": 60 * ONE, "images": 60}
