"""Randomness by name: every stream of numbers follows from one seed and the path of names that leads to it.

A resumed run needs no stored generator state: the stream of step 700 is `Rng(seed).child("step", 700)`, whoever asks.
"""

import hashlib

import torch


class Rng:
    """A node in a tree of independent random streams."""

    def __init__(self, seed: int, path: tuple[str, ...] = ()) -> None:
        self.seed = seed
        self.path = path

    def child(self, *names: str | int) -> "Rng":
        """The node below this one under these names."""
        return Rng(self.seed, (*self.path, *(str(name) for name in names)))

    def integer(self) -> int:
        """This node's own number in 0..2^63 - 1, for libraries that take a seed."""
        text = "\x1f".join((str(self.seed), *self.path))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self) -> torch.Generator:
        """A fresh generator on the CPU, seeded with this node's number: the same draws on every kind of device."""
        return torch.Generator().manual_seed(self.integer())
