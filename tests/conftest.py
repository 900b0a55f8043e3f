"""What holds for every test."""

import torch

# Tests work on tiny tensors, where more threads only wait for one another: most of all when the cores are shared.
torch.set_num_threads(1)
