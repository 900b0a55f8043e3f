"""What every result names: the machine and the code."""

import os
import platform
import subprocess

import torch


def machine() -> str:
    """One line on the machine and the code: what every result names."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = torch.get_num_threads()
    used = "" if threads == os.cpu_count() else f", {threads} of them used" if threads > 1 else ", one of them used"
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}){used}, {accelerator}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, commit {commit.stdout.strip() or 'unknown'}"
    )
