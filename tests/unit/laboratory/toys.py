"""A tiny data set for tests of the laboratory: 3 classes of 8x8 images that differ in where they are bright."""

import torch

from distilled.parametrizations.base import ImageSpace
from distilled.recipe import expand
from workers.distill.catalog import build
from workers.distill.data import RealData

SPACE = ImageSpace(shape=(1, 8, 8), mean=(0.3,), std=(0.25,), classes=("left", "right", "middle"))


def toy_data(per_class: int = 20, *, seed: int = 7) -> RealData:
    rng = torch.Generator().manual_seed(seed)

    def split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels_N = torch.arange(3).repeat_interleave(count)
        bytes_NHWC = torch.randint(0, 90, (len(labels_N), 8, 8, 1), generator=rng, dtype=torch.uint8)
        for k, columns in enumerate((slice(0, 3), slice(5, 8), slice(3, 5))):
            bytes_NHWC[labels_N == k, :, columns] += 120
        return bytes_NHWC, labels_N

    train, val, test = split(per_class), split(4), split(10)
    return RealData(
        name="toy",
        space=SPACE,
        train_bytes_NHWC=train[0],
        train_labels_N=train[1],
        val_bytes_NHWC=val[0],
        val_labels_N=val[1],
        test_bytes_NHWC=test[0],
        test_labels_N=test[1],
        digest="toy",
        licence="CC0-1.0",
    )


def toy_recipe(method: str, **fields) -> dict:
    """An expanded recipe of a few steps on the toy set."""
    small = {
        "dc": {"real_batch": 8, "network": "convnet2-w8", "matchings": 3, "network_steps": 2},
        "dim": {
            "network": "convnet2-w8",
            "batch": 8,
            "pool_size": 2,
            "network_life": 2,
            "network_steps": 2,
            "network_batch": 8,
            "discriminator_width": 4,
            "warmup_steps": 4,
            "warmup_batch": 8,
        },
        "dm": {"real_batch": 8, "network": "convnet2-w8"},
        "dsa": {"real_batch": 8, "network": "convnet2-w8", "matchings": 3, "network_steps": 2},
        "frepo": {"real_batch": 16, "network": "convnet2-w8", "pool_size": 2, "pool_steps": 2},
        "kip": {"real_batch": 16},
        "mtt": {
            "network": "convnet2-w8",
            "synthetic_steps": 3,
            "max_start_epoch": 1,
            "match_epochs": 1,
            "experts": 2,
            "expert_epochs": 2,
            "expert_batch": 30,
        },
        "sre2l": {"network": "convnet2-w8-batch", "teacher_epochs": 3, "teacher_batch": 20},
        "bptt": {"real_batch": 16, "network": "convnet2-w8", "inner_steps": 3, "inner_learning_rate": 0.1},
        "remember-the-past": {"real_batch": 16, "network": "convnet2-w8", "inner_steps": 3, "inner_batch": 4},
    }[method]
    recipe = {"dataset": "toy", "method": method, "ipc": 2, "steps": 6, "objective": small}
    for name, value in fields.items():
        both = isinstance(value, dict) and isinstance(recipe.get(name), dict)
        recipe[name] = {**recipe[name], **value} if both else value
    return expand(recipe, build())
