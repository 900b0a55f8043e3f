"""A child of the pool steps back; its parent, and whoever asked for nothing, does not."""

import os
import subprocess
import sys

import pytest

from workers.settings import WorkerSettings

SAY = "import os; from workers.priority import step_back; step_back({}); print(os.getpriority(os.PRIO_PROCESS, 0))"


@pytest.mark.parametrize(("nice", "expected"), [(0, 0), (7, 7), (19, 19)])
def test_a_process_steps_back_by_so_much(nice: int, expected: int) -> None:
    said = subprocess.run([sys.executable, "-c", SAY.format(nice)], capture_output=True, text=True, check=True)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert int(said.stdout) == max(expected, before)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_it_never_steps_forward_again() -> None:
    twice = SAY.format(9).replace("print", "step_back(3); print")
    said = subprocess.run([sys.executable, "-c", twice], capture_output=True, text=True, check=True)
    assert int(said.stdout) == max(9, os.getpriority(os.PRIO_PROCESS, 0))


def test_the_setting_has_bounds() -> None:
    assert WorkerSettings().nice == 10
    for wrong in (-1, 20):
        with pytest.raises(ValueError, match="nice"):
            WorkerSettings(nice=wrong)
