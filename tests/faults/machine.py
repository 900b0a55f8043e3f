"""The service's processes, forked from one that has imported everything: `python -m tests.faults.machine`.

A new interpreter with torch costs ten seconds of a processor, a fork costs milliseconds, and only so can hundreds of
them be killed. All else is the real thing: the supervisor of `distilled up`, the API, the worker with Celery's pool of
processes, each a process of its own. How they are born is tested by `tests/acceptance/test_harm.py`.

A line of JSON on stdin, `{"programs": [[name, module, arguments, environment, log], …], "home": folder or null}`,
starts a supervisor; its number is answered. Whatever loses its parent becomes a child of this process, so that nothing
is missed. All die with this process.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from distilled.cli import home as homes
from distilled.cli import leash, supervisor
from distilled.cli.supervisor import Program, Supervisor

PRELOAD = (
    *("app.__main__", "workers.__main__", "workers.child", "workers.tasks", "app.samples.sampler"),
    *("sklearn.cluster", "torchvision"),  # which a process of a job imports when it needs them
)
PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
LIBC = ctypes.CDLL(None)


class Forked:
    """What the supervisor needs of a process that is a fork of it."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                code = work()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 0.0)
        while (code := self.poll()) is None:
            if timeout is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def become(program: Program, parent_pid: int) -> int:
    """Be the program, in a fork of its supervisor: with its environment, its log, its leash and no more."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if not leash.tie_to_parent(parent_pid):
        return 1
    LIBC.prctl(PR_SET_NAME, program.name.encode(), 0, 0, 0)
    os.environ.clear()
    os.environ.update(program.environment)
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        os.dup2(os.open(os.devnull if number == 0 else program.log, mode), number)
    os.dup2(1, 2)
    module, *arguments = program.arguments
    hooks = import_module("tests.faults.hooks")
    hooks.put_in_place(os.environ, is_worker=module.startswith("workers"))
    return import_module(module).main(arguments)


def supervise(told: dict[str, Any], parent_pid: int) -> int:
    """Keep the programs alive until SIGTERM, as `distilled up` does."""
    if not leash.tie_to_parent(parent_pid):
        return 1
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    programs = [
        Program(name=name, arguments=[module, *arguments], environment=environment, log=Path(log))
        for name, module, arguments, environment, log in told["programs"]
    ]
    LIBC.prctl(PR_SET_NAME, b"supervisor", 0, 0, 0)
    supervisor.LONGEST_DELAY_SECONDS = 2.0  # nobody here has done anything wrong
    mine = os.getpid()
    found = Supervisor(programs, tell=lambda *_, **__: None, start=lambda one: Forked(lambda: become(one, mine)))
    signal.signal(signal.SIGTERM, lambda *_: found.request_stop())
    home = Path(told["home"]) if told["home"] else None
    with homes.locked(home) if home else contextlib.nullcontext():
        if home:
            shutil.rmtree(home / "queue", ignore_errors=True)
        found.start_all()
        found.run()
    return 0


def main() -> int:
    """Serve until stdin ends."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for module in PRELOAD:
        import_module(module)
    import_module("workers.child").warm_up()
    mine = os.getpid()
    _answer(ready=mine)
    while True:
        readable, _, _ = select.select([0], [], [], 0.05)
        if readable:
            line = sys.stdin.readline()
            if not line:
                return 0
            born = Forked(lambda line=line: supervise(json.loads(line), mine))
            _answer(pid=born.pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(**told: int) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
