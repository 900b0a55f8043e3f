"""Fakes that keep the same promises as the real things, for our tests and for yours."""

import shutil
from pathlib import Path

from obstore.store import MemoryStore

from registry import errors, schema
from registry.models import Need
from registry.session import Database
from registry.store import Store


class MemoryQueue:
    """Remembers the wake-ups in place of sending them; while `down` is true it refuses them as a dead broker does."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.needs: dict[str, Need] = {}
        self.evaluations: list[str] = []
        self.validations: list[str] = []
        self.down = False

    def wake_job(self, job_id: str, need: Need) -> None:
        """Remember the wake-up, or raise QueueDown."""
        self._check()
        self.jobs.append(job_id)
        self.needs[job_id] = need

    def wake_evaluation(self, evaluation_id: str) -> None:
        """Remember the wake-up, or raise QueueDown."""
        self._check()
        self.evaluations.append(evaluation_id)

    def wake_validation(self, validation_id: str) -> None:
        """Remember the wake-up, or raise QueueDown."""
        self._check()
        self.validations.append(validation_id)

    def ping(self, *, timeout_seconds: float = 2.0) -> None:
        """Raise QueueDown while down."""
        self._check()

    def purge(self) -> int:
        """Forget the wake-ups and return how many there were."""
        remembered = (self.jobs, self.evaluations, self.validations)
        dropped = sum(len(ids) for ids in remembered)
        for ids in remembered:
            ids.clear()
        return dropped

    def close(self) -> None:
        """Nothing to close."""

    def _check(self) -> None:
        if self.down:
            raise errors.QueueDown


def memory_store() -> Store:
    """An empty store that lives as long as the object."""
    return Store(MemoryStore())


class FullDiskStore(Store):
    """A store with room for so many more writes; every later one raises StoreFull. Reading goes on."""

    def __init__(self, *, writes_left: int = 0) -> None:
        super().__init__(MemoryStore())
        self.writes_left = writes_left

    def put(self, content: bytes) -> str:
        """Keep the bytes, or raise StoreFull."""
        self._spend()
        return super().put(content)

    def put_file(self, path: Path) -> str:
        """Keep the file, or raise StoreFull."""
        self._spend()
        return super().put_file(path)

    def put_named(self, key: str, content: bytes) -> None:
        """Keep the bytes, or raise StoreFull."""
        self._spend()
        super().put_named(key, content)

    def _spend(self) -> None:
        if self.writes_left <= 0:
            raise errors.StoreFull
        self.writes_left -= 1


def migrated_template(folder: Path) -> Path:
    """A SQLite file built by the migrations, to be copied for each test, which takes a millisecond."""
    path = folder / "template.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


def temporary_database(folder: Path, *, template: Path | None = None) -> Database:
    """A migrated registry in a new file in this folder. Close it before the folder goes."""
    path = folder / "registry.db"
    if template is None:
        schema.upgrade(f"sqlite:///{path}")
    else:
        shutil.copyfile(template, path)
    return Database(f"sqlite:///{path}")
