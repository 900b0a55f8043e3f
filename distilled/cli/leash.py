"""Run a program that dies with the process that started it: `python leash.py PARENT_PID PROGRAM ARGUMENTS…`.

A supervisor that is killed with -9 cannot stop its children, so the kernel is asked to (Linux: PR_SET_PDEATHSIG, which
survives `exec`). Elsewhere the program runs without the leash, and the next `distilled up` says what is still there.
Standard library alone, and started as a file: it stands in front of every child's start and must cost milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to_parent(parent_pid: int) -> bool:
    """Ask to be killed when the parent dies. Returns False when the parent is already gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the request was heard; then we were handed to someone else already.
    return os.getppid() == parent_pid


def main(arguments: list[str]) -> int:
    parent_pid, program = int(arguments[0]), arguments[1:]
    if not tie_to_parent(parent_pid):
        return 1
    os.execv(program[0], program)  # noqa: S606 - the whole point: become the program, keep the leash


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
