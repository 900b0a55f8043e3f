"""What holds for every test."""

import os

import torch

# Tests work on tiny tensors, where more threads only wait for one another: most of all when the cores are shared.
torch.set_num_threads(1)
# No test finds what another one fetched: those of the cache name a folder of their own.
os.environ["DISTILLED_CACHE_BYTES"] = "0"
