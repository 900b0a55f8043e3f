"""Distilled data in a training loop: `DistilledDataset`, which holds a set, and `DistilledStream`, which has no end.

dataset = distilled.DistilledDataset(distilled.open("artifact.safetensors"), ipc=10)
stream = client.open("cifar10-best").stream(batch_size=256, seed=0)
for images, labels in DataLoader(stream): ...
"""

from distilled.extras import require_torch

require_torch("distilled.torch_data")

from distilled.torch_data.batch import Batch  # noqa: E402 -- the line above says what is missing where torch is
from distilled.torch_data.dataset import DistilledDataset  # noqa: E402
from distilled.torch_data.stream import DistilledStream, Source  # noqa: E402

__all__ = ["Batch", "DistilledDataset", "DistilledStream", "Source"]
