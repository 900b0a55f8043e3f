"""The folder of `distilled up` and the checkout that it runs: found, made, locked and handed on as environment."""

import os
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distilled.errors import DistilledError

if sys.platform != "win32":  # the client runs everywhere; the service on POSIX systems
    import fcntl


class NoCheckout(DistilledError):
    """This part of the service is not here. Run it from a checkout, or in its image; the library alone only reads."""


class HomeInUse(DistilledError):
    """Another `distilled up` runs on this home; stop it, or choose another folder with --home."""


class HomeUnusable(DistilledError):
    """The home cannot be made or written; choose a folder of your own with --home."""


def find_checkout(*parts: str) -> Path:
    """The root of the checkout this library belongs to. parts: the packages that are needed, all unless named: the
    front end's image holds no `workers`. Raises NoCheckout where one is missing; a wheel holds none of them."""
    root = Path(__file__).resolve().parents[2]
    if not all((root / part / "__init__.py").is_file() for part in parts or ("registry", "app", "workers")):
        raise NoCheckout
    return root


def module_arguments(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the checkout. `-P`: the caller's folder must not shadow our packages."""
    return [sys.executable, "-P", "-m", module, *arguments]


def service_environment(root: Path, *, home: Path | None, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of every service process. What the caller has set in `DISTILLED_*` stays as it is."""
    path = base.get("PYTHONPATH")
    environment = {**base, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else str(root), "PYTHONUNBUFFERED": "1"}
    if home is not None:
        environment["DISTILLED_HOME"] = str(home)
    return environment


def make_home(home: Path) -> Path:
    """Make the home, readable by its owner alone, and return it absolute. Raises HomeUnusable."""
    home = home.expanduser().absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HomeUnusable(f"The home {home} cannot be made ({error.strerror}); choose another with --home.") from error
    return home


@contextmanager
def locked(home: Path) -> Generator[None]:
    """Hold the home for one supervisor. The kernel drops the lock however the holder dies. Raises HomeInUse."""
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise HomeInUse(
                f"Another `distilled up` (process {holder}) runs on {home}; stop it, or choose another --home."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def purge_queue(home: Path, *, environment: Mapping[str, str]) -> None:
    """Empty the embedded queue. Messages are wake-ups only, and those of a dead service are late or double: the
    registry sends what is due again. A broker of the caller's own is left alone."""
    if not environment.get("DISTILLED_BROKER_URL"):
        shutil.rmtree(home / "queue", ignore_errors=True)
