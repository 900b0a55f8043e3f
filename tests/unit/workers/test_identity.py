"""A worker's name, and who is alive."""

import os
import subprocess
import sys

from workers import identity


def test_the_name_says_where_and_which() -> None:
    assert identity.machine() == identity.machine()
    assert identity.worker_name(12) == f"{identity.machine()}-12"


def test_this_process_is_alive() -> None:
    assert identity.is_alive(os.getpid())


def test_a_dead_process_is_not_alive_before_and_after_it_is_reaped() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, not reaped: a zombie
    assert not identity.is_alive(process.pid)
    process.wait()
    assert not identity.is_alive(process.pid)
