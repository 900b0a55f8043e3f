"""What holds for every test."""

import os
from pathlib import Path

# Tests work on tiny tensors, where more threads only wait for one another: most of all when the cores are shared. Said
# before torch is imported, and inherited by every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

torch.set_num_threads(1)

HERE = Path(__file__).parent
#: Folders whose files share services that take long to start.
TOGETHER = (HERE / "acceptance", HERE / "integration" / "registry")
#: The longest go first, so that no process is left alone with them at the end.
FIRST = (HERE / "acceptance", HERE / "integration")


def pytest_itemcollected(item: pytest.Item) -> None:
    """`make test` shares the files out over processes (`--dist loadgroup`): what a file's tests share is made once."""
    group = next((folder for folder in TOGETHER if folder in item.path.parents), item.path)
    item.add_marker(pytest.mark.xdist_group(group.relative_to(HERE).as_posix()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long first, and everything else in the random order that it has."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, folder in enumerate(FIRST) if folder in item.path.parents), len(FIRST))
