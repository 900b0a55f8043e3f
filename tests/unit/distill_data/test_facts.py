"""The table of built-in data sets is consistent, and agrees with what it can be held against here."""

import json

import pytest
import torch
import torchvision

from workers.distill.data import DATASETS, FACTS, canonical, load


@pytest.mark.parametrize("name", FACTS)
def test_each_entry_is_consistent(name):
    facts = FACTS[name]
    assert canonical(facts.name) == name == canonical(name)
    assert len(facts.classes) == len(set(facts.classes)) == len(facts.train_counts) == len(facts.test_counts)
    assert len(facts.mean) == len(facts.std) == facts.shape[0]
    assert facts.licence
    assert facts.homepage.startswith("http")
    assert facts.torchvision is None or (hasattr(torchvision.datasets, facts.torchvision) and facts.files)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("digits", 1438, 359),
        ("mnist", 60000, 10000),
        ("fashionmnist", 60000, 10000),
        ("kmnist", 60000, 10000),
        ("cifar10", 50000, 10000),
        ("cifar100", 50000, 10000),
        ("svhn", 73257, 26032),
    ],
)
def test_sizes_are_the_official_ones(name, train, test):
    shown = DATASETS[name]
    assert (shown["train"] + shown["val"], shown["test"]) == (train, test)
    assert sum(shown["train_counts"]) == shown["train"] < sum(FACTS[name].train_counts) == train


def test_the_table_is_plain_data():
    assert json.loads(json.dumps(DATASETS)) == DATASETS


def test_the_pinned_normalisation_of_digits_is_that_of_its_train_split(tmp_path):
    real = load("digits", data_dir=tmp_path, download=False)
    pixels = torch.cat([real.train_bytes_NHWC, real.val_bytes_NHWC]).double() / 255
    assert pixels.mean().item() == pytest.approx(FACTS["digits"].mean[0], abs=1e-12)
    assert pixels.std(correction=0).item() == pytest.approx(FACTS["digits"].std[0], abs=1e-12)
