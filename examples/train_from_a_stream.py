"""Train a classifier from a stream: python -m examples.train_from_a_stream ARTIFACT BATCHES, an artifact of digits."""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

import distilled
from workers.distill.data import load  # for the test images alone, which no distillation has seen


def main(name: str, batches: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with distilled.Client() as client:  # the service at DISTILLED_URL, or on this machine
        for images, labels in DataLoader(client.open(name).stream(batch_size=256, batches=batches)):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimiser.step()
    real = load("digits", data_dir=Path("data"), download=False)
    right = net(real.test_images_NCHW()).argmax(1) == real.test_labels_N
    print(f"accuracy {100 * right.float().mean():.1f} % on {len(right)} real test images; trained on {name} alone")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
