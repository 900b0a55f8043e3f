"""The supervisor on a clock of its own, and once with real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from distilled.cli import supervisor as module
from distilled.cli.supervisor import Program, Supervisor, describe_exit, start_process


class FakeProcess:
    """A process that ends when a test, or a signal that it heeds, says so."""

    def __init__(self, *, heeds: bool = True) -> None:
        self.pid = 1
        self.code: int | None = None
        self.heeds = heeds
        self.heard: list[int] = []
        self.heard_at = 0.0

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("fake", timeout or 0)
        return self.code

    def send_signal(self, sig: int) -> None:
        self.heard.append(sig)
        self.heard_at = time.monotonic()
        if self.heeds:
            self.code = 0

    def kill(self) -> None:
        self.heard.append(signal.SIGKILL)
        self.code = -9


class World:
    """A clock, the processes started so far, and the words said."""

    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.started: list[tuple[str, FakeProcess]] = []
        self.said: list[str] = []
        self.told: list[tuple[str, dict[str, object]]] = []
        self.heeds = True
        self.step_seconds = 0.001
        programs = [Program(name=name, arguments=[], environment={}, log=Path(f"{name}.log")) for name in names]
        self.supervisor = Supervisor(programs, tell=self.tell, start=self.start, clock=self.tick_clock)

    def tell(self, name: str, words: str = "", **facts: object) -> None:
        self.said.append(words)
        self.told.append((name, facts))

    def start(self, program: Program) -> Any:
        process = FakeProcess(heeds=self.heeds)
        self.started.append((program.name, process))
        return process

    def tick_clock(self) -> float:
        self.now += self.step_seconds
        return self.now

    def tick_at(self, now: float) -> None:
        self.now = now
        self.supervisor.tick()


def test_a_dead_child_starts_again_after_a_delay_that_doubles() -> None:
    world = World("worker")
    world.supervisor.start_all()
    now = 0.0
    waited: list[float] = []
    for _ in range(7):
        world.started[-1][1].code = 1
        world.tick_at(now := now + 1)
        died = now
        number = len(world.started)
        while len(world.started) == number:
            world.tick_at(now := now + 0.5)
        waited.append(now - died)
    assert waited == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.6)
    assert "exit code 1" in world.said[0]
    assert "worker.log" in world.said[0]
    facts = {"program": "worker", "exit": "exit code 1", "restart_seconds": 1.0, "log": "worker.log"}
    assert world.told[0] == ("ended", facts)


def test_a_child_that_was_well_for_a_minute_starts_with_the_first_delay_again() -> None:
    world = World("worker")
    world.supervisor.start_all()
    for now in (1.0, 2.5):  # dies, starts again
        world.started[-1][1].code = 1
        world.tick_at(now)
    world.tick_at(6.0)
    assert world.supervisor.children[0].delay_seconds > module.FIRST_DELAY_SECONDS
    world.started[-1][1].code = -9
    world.tick_at(100.0)
    world.tick_at(101.5)
    assert "killed by SIGKILL; it starts again in 1 s" in world.said[-1].replace("(", "").replace(")", "")
    assert world.supervisor.children[0].process is not None


def test_stopping_goes_in_order_and_a_deaf_child_is_killed_after_its_grace() -> None:
    world = World("API", "worker")
    world.step_seconds = 1.0  # each look at the clock: ten are the grace
    world.supervisor.start_all()
    (_, api), (_, worker) = world.started
    worker.heeds = False
    world.supervisor.stop_all()
    assert api.heard == [signal.SIGTERM]
    assert worker.heard == [signal.SIGTERM, signal.SIGKILL]
    assert api.heard_at < worker.heard_at
    assert "worker did not stop in time" in world.said[-1]
    assert world.told[-1] == ("killed", {"program": "worker"})


def test_asked_twice_it_does_not_wait() -> None:
    world = World("worker")
    world.heeds = False
    world.supervisor.start_all()
    world.supervisor.request_stop()
    assert world.supervisor.stopping
    world.supervisor.request_stop()
    world.supervisor.stop_all()
    assert world.started[0][1].heard == [signal.SIGTERM, signal.SIGKILL]
    assert world.now < 1


def test_it_runs_until_it_is_told_to_stop() -> None:
    world = World("worker")
    world.supervisor.start_all()
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            world.supervisor.request_stop()

    world.supervisor.run(each_tick=look)
    assert looks == 2
    assert world.started[0][1].heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_exits_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_a_real_child_writes_to_its_log_and_dies_with_the_thread_that_started_it(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    code = "import time; print('hello', flush=True); time.sleep(60)"
    program = Program(name="child", arguments=[sys.executable, "-c", code], environment=os.environ, log=log)
    started: list[Any] = []
    over = threading.Event()

    def start() -> None:
        started.append(start_process(program))
        over.wait()

    thread = threading.Thread(target=start)
    thread.start()
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text() == "hello\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert started[0].poll() is None
    over.set()
    thread.join()
    assert started[0].wait(timeout=10) == -signal.SIGKILL


def test_a_log_that_has_grown_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 3)
    log = tmp_path / "child.log"
    log.write_text("much")
    program = Program(name="c", arguments=[sys.executable, "-c", ""], environment=os.environ, log=log)
    start_process(program).wait(timeout=20)
    assert log.with_suffix(".log.1").read_text() == "much"
    assert log.read_text() == ""
