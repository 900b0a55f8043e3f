"""What holds for every test."""

import os
from typing import Any

# Tests work on tiny tensors, where more threads only wait for one another: most of all when the cores are shared. Said
# before torch is imported, and inherited by every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
# The client's cache is off: no test finds what another one fetched. Tests of the cache name a folder of their own.
os.environ["DISTILLED_CACHE_BYTES"] = "0"

import pytest
import torch

torch.set_num_threads(1)

#: Folders whose files share services that take long to start, from the root of the checkout.
TOGETHER = ("tests/acceptance/", "tests/browser/", "tests/integration/registry/")
#: The longest go first, so that no process is left alone with them at the end.
FIRST = ("tests/acceptance/", "tests/integration/", "tests/browser/", "tests/faults/")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` is for `make faults`."""
    parser.addoption("--long", action="store_true", help="in tests/faults, all of what is otherwise done in part")
    parser.addoption("--pictures", action="store_true", help="in tests/browser, screenshots are kept in docs/images")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`pytest -n 2` shares out whole files, in their order: what the tests of a file have in common is made once."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 -- plain pytest does without

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return next((folder for folder in TOGETHER if file.startswith(folder)), file)

    config.option.loadscopereorder = False  # it would put the files with the most tests first
    return Files(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long first, and everything else in the random order that it has."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))
