"""The service as forks of one process that has imported everything (`tests.faults.machine`).

Each job is a new process with torch. As interpreters of their own these would take most of the time of the tests here,
which are about what such a process does; how it is born, and how it dies, is tested in test_harm.py.
"""

import os
import signal
from pathlib import Path

from registry import schema
from tests.acceptance.service import Service, until
from tests.faults.stacks import Machine


class Forked(Service):
    """`distilled up`, born on a machine of its own."""

    def __init__(self, home: Path, machine: Machine) -> None:
        super().__init__(home)
        self._machine = machine
        self._supervisor = 0

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DISTILLED_HOME": str(self.home)}

    def start(self) -> None:
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        schema.upgrade(f"sqlite:///{self.home}/registry.db")
        asked = (("api", "app.__main__", ["--port", str(self.port)]), ("worker", "workers.__main__", []))
        programs = [
            [name, module, arguments, self.environment(), str(logs / f"{name}.log")]
            for name, module, arguments in asked
        ]
        self._supervisor = self._machine.start(programs=programs, home=str(self.home))
        self.until_ready()

    def ensure_up(self) -> None:
        if not self.process_ids():
            self.start()
        self.until_ready()

    def end(self) -> None:
        if self.process_ids():
            os.kill(self._supervisor, signal.SIGTERM)
            until(lambda: not self.process_ids(), what="all processes have ended", seconds=60)

    def process_ids(self) -> dict[int, str]:
        return {pid: name for pid, (name, _) in self._machine.processes().items()}

    def pid_of(self, mark: str) -> int:
        name = {"-m app": "api", "-m workers": "worker"}[mark]
        (pid,) = [
            pid
            for pid, (known, parent) in self._machine.processes().items()
            if known == name and parent == self._supervisor
        ]
        return pid

    def _is_child(self, pid: int, main: int) -> bool:
        return self._machine.processes()[pid][1] == main
