"""What every result names: the machine and the code."""

import os
import platform
import subprocess

import torch


def machine() -> str:
    """One line on the machine and the code: what every result names."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), {accelerator}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, commit {commit.stdout.strip() or 'unknown'}"
    )
