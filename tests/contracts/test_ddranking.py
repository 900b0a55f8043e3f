"""HLR and IOR are those of the public `ddranking` package, given the same accuracies.

Its own classes compute them here; only the training of networks is replaced by accuracies that are given. `make setup`
installs it without its dependencies, since it asks for an older numpy than this project's.
"""

import random

import pytest
import torch
from ddranking.metrics import hard_label

from workers.distill.scores import hlr, ior, summary

REPEATS = 5


@pytest.fixture
def accuracies():
    """For each repeat, accuracies in 0..1 of networks trained on the distilled set, all data and random images."""
    drawn = random.Random(0)
    return {name: [drawn.random() for _ in range(REPEATS)] for name in ("distilled", "full", "random")}


@pytest.fixture
def theirs(accuracies, monkeypatch):
    """What ddranking saves, for these accuracies."""
    saved = {}
    monkeypatch.setattr(hard_label, "save_results", lambda results, path: saved.update(results))
    monkeypatch.setattr(hard_label, "logging", lambda message: None)
    monkeypatch.setattr(hard_label, "set_seed", lambda: None)
    # In the order in which a repeat asks for them.
    answers = iter([one for each in zip(*accuracies.values(), strict=True) for one in each])
    evaluator = object.__new__(hard_label.LabelRobustScoreHard)
    evaluator.num_classes, evaluator.ipc, evaluator.num_eval = 3, 1, REPEATS
    evaluator.rank, evaluator.use_dist, evaluator.eval_full_data, evaluator.save_path = 0, False, True, None
    evaluator._get_random_data_helper = lambda eval_iter: (None, torch.zeros(3, 1, 8, 8), torch.arange(3))
    asked = []

    def measured(*, mode, image_tensor, **_):
        asked.append("full" if mode == "real" else "random" if image_tensor.ndim == 4 else "distilled")
        return next(answers), 0.01

    evaluator._compute_hard_label_metrics_helper = measured
    evaluator.compute_metrics(image_tensor=torch.zeros(3, 64), syn_lr=0.01)
    assert asked == list(accuracies) * REPEATS
    return saved


def test_hard_label_recovery_and_improvement_over_random(accuracies, theirs):
    scores = {name: summary(values) for name, values in accuracies.items()}
    assert hlr(scores["full"], scores["distilled"]) == pytest.approx(
        sum(theirs["hard_label_recovery"]) / REPEATS, abs=1e-12
    )
    assert ior(scores["distilled"], scores["random"]) == pytest.approx(
        sum(theirs["improvement_over_random"]) / REPEATS, abs=1e-12
    )
