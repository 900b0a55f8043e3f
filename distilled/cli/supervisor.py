"""Keep the service's processes alive on one machine: start, watch, restart with back-off, stop in order.

One thread and no cleverness: the kernel kills children with their *parent thread* (see `leash`), so all of them are
started by the thread that runs `Supervisor.run`.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from distilled.cli import leash

POLL_SECONDS = 0.2
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # a child that lived this long starts again with the first delay
GRACE_SECONDS = 10.0
LOG_BYTES = 10 * 1024 * 1024  # a log that has grown past this is set aside once, at start


class Process(Protocol):
    """What the supervisor needs of `subprocess.Popen`; tests bring their own."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Tell(Protocol):
    """Hears what happens: an event's name, a sentence for people, and the facts (as `screen.Screen.event` does)."""

    def __call__(self, name: str, words: str = "", **facts: object) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Program:
    """One child: what it is called in messages, how it is started and where its output goes."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path


@dataclass(kw_only=True)
class Child:
    """A program with the life it has had so far."""

    program: Program
    process: Process | None = None
    started: float = 0.0
    next_start: float = 0.0
    delay_seconds: float = FIRST_DELAY_SECONDS
    restarts: int = field(default=0)


def start_process(program: Program) -> Process:
    """Start a program on the leash, in a session of its own: Ctrl-C is for the supervisor, which stops it in order."""
    program.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if program.log.exists() and program.log.stat().st_size > LOG_BYTES:
        program.log.replace(program.log.with_suffix(".log.1"))
    with program.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *program.arguments],
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Supervisor:
    """Keeps programs alive until it is told to stop; then stops them in the order in which they were given."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        tell: Tell,
        start: Callable[[Program], Process] = start_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.children = [Child(program=program) for program in programs]
        self._tell = tell
        self._start = start
        self._clock = clock
        self._stop = threading.Event()
        self._hurry = False

    def request_stop(self) -> None:
        """Stop at the next turn; asked a second time, stop without grace."""
        self._hurry = self._stop.is_set()
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def start_all(self) -> None:
        for child in self.children:
            self._launch(child)

    def tick(self) -> None:
        """Look at every child once: notice a death, and start again whatever has waited long enough."""
        now = self._clock()
        for child in self.children:
            if child.process is None:
                if now >= child.next_start:
                    child.restarts += 1
                    self._launch(child)
                continue
            code = child.process.poll()
            if code is None:
                continue
            if now - child.started >= HEALTHY_SECONDS:
                child.delay_seconds = FIRST_DELAY_SECONDS
            exit_words = describe_exit(code)
            self._tell(
                "ended",
                f"the {child.program.name} ended ({exit_words}); it starts again in {child.delay_seconds:.0f} s. "
                f"Its log: {child.program.log}",
                program=child.program.name,
                exit=exit_words,
                restart_seconds=child.delay_seconds,
                log=str(child.program.log),
            )
            child.process = None
            child.next_start = now + child.delay_seconds
            child.delay_seconds = min(2 * child.delay_seconds, LONGEST_DELAY_SECONDS)

    def run(self, *, each_tick: Callable[[], None] = lambda: None) -> None:
        """Watch until a stop is asked for, then stop all. `each_tick` runs between looks and must be quick."""
        try:
            while not self._stop.wait(POLL_SECONDS):
                self.tick()
                each_tick()
        finally:
            self.stop_all()

    def stop_all(self) -> None:
        """SIGTERM, the grace period, SIGKILL: child by child, in order, so that the API stops taking jobs first."""
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                self._stop_child(child.program.name, child.process)
            child.process = None

    def _stop_child(self, name: str, process: Process) -> None:
        process.send_signal(signal.SIGTERM)
        deadline = self._clock() + GRACE_SECONDS
        while not self._hurry and self._clock() < deadline:
            try:
                process.wait(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return
        words = f"the {name} did not stop in time and is killed; its job goes on from its last snapshot"
        self._tell("killed", words, program=name)
        process.kill()
        process.wait()

    def _launch(self, child: Child) -> None:
        child.process = self._start(child.program)
        child.started = self._clock()


def describe_exit(code: int) -> str:
    """`-9` -> `killed by SIGKILL`, `3` -> `exit code 3`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
