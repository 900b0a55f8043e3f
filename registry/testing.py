"""Fakes that keep the same promises as the real things, for our tests and for yours."""

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.store import MemoryStore
from sqlalchemy.orm import Session

from registry import errors, schema
from registry.models import Need
from registry.session import Database
from registry.store import Store, Stored


class MemoryQueue:
    """Remembers the wake-ups in place of sending them; while `down` is true it refuses them as a dead broker does."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.needs: dict[str, Need] = {}
        self.evaluations: list[str] = []
        self.validations: list[str] = []
        self.portions: list[str] = []
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

    def wake_portion(self, portion_id: str) -> None:
        """Remember the wake-up, or raise QueueDown."""
        self._check()
        self.portions.append(portion_id)

    def ping(self, *, timeout_seconds: float = 2.0) -> None:
        """Raise QueueDown while down."""
        self._check()

    def purge(self) -> int:
        """Forget the wake-ups and return how many there were."""
        remembered = (self.jobs, self.evaluations, self.validations, self.portions)
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


class Countdown:
    """Lets operations happen until the n-th, which goes wrong: not done, or done and the answer lost."""

    def __init__(self) -> None:
        self.counted = 0
        self._at = 0
        self._done = False
        #: What the caller sees of it; the tests' own death of a process is a BaseException.
        self.error: type[BaseException] = errors.StoreError

    def start(self, *, at: int = 0, done: bool = False) -> None:
        """Count anew. at: the operation that goes wrong, from 1; 0: none. done: it is done all the same."""
        self.counted, self._at, self._done = 0, at, done

    @property
    def struck(self) -> bool:
        """Whether it has gone wrong yet."""
        return 0 < self._at <= self.counted

    @contextmanager
    def passing(self) -> Generator[None]:
        """One operation."""
        self.counted += 1
        now = self.counted == self._at
        if now and not self._done:
            raise self.error
        yield
        if now:
            raise self.error


class FaultyStore(Store):
    """A store in memory of which one operation goes wrong, when `faults` says so."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.faults = Countdown()

    def put(self, content: bytes) -> str:
        """Keep the bytes."""
        with self.faults.passing():
            return super().put(content)

    def put_file(self, path: Path) -> str:
        """Keep the file."""
        with self.faults.passing():
            return super().put_file(path)

    def get(self, digest: str) -> bytes:
        """The whole blob."""
        with self.faults.passing():
            return super().get(digest)

    def size(self, digest: str) -> int:
        """The blob's size; `exists` asks for it, too."""
        with self.faults.passing():
            return super().size(digest)

    def stream(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes in chunks."""
        with self.faults.passing():
            return super().stream(digest, start, end)

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        with self.faults.passing():
            super().delete(digest)

    def put_named(self, key: str, content: bytes) -> None:
        """Keep the bytes under a key."""
        with self.faults.passing():
            super().put_named(key, content)

    def get_named(self, key: str) -> bytes:
        """The bytes under a key."""
        with self.faults.passing():
            return super().get_named(key)

    def delete_named(self, key: str) -> None:
        """Remove the bytes under a key."""
        with self.faults.passing():
            super().delete_named(key)

    def _listed(self, prefix: str) -> Iterator[Stored]:
        with self.faults.passing():
            return super()._listed(prefix)


class FaultyDatabase(Database):
    """A registry of which one write transaction goes wrong, when `faults` says so."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.faults = Countdown()
        self.faults.error = errors.RegistryDown

    @contextmanager
    def write(self) -> Generator[Session]:
        """A transaction that is not begun, or is committed without that anybody hears of it."""
        with self.faults.passing(), super().write() as session:
            yield session


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
