"""`python -m tests.fuzz parsers|api --minutes 10`: the long fuzz. Says what it did; its status is 1 after a finding."""

import argparse
import logging
import random
import resource
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.parsers import Tally, Target, attempt, targets

#: All that the fuzz of the parsers may take: an input that takes more is found as a MemoryError.
MEMORY_BYTES = 6 * 1024**3
#: Inputs of one target before it is the next one's turn.
TURN = 50


def main() -> int:
    """Run the fuzz that is named for so long."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz")
    arguments.add_argument("what", choices=("parsers", "api"))
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if given.what == "parsers":
        return parsers(seconds=60 * given.minutes, first=given.seed)
    from tests.fuzz import api  # noqa: PLC0415 -- it loads the whole application

    found = api.fuzz(seed=given.seed, seconds=60 * given.minutes)
    _tell(found.told())
    return 1 if found.findings else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parsers(*, seconds: float, first: int) -> int:
    """Every target in turn. Prints a table of what came of their inputs."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    tallies = {name: Tally() for name in targets()}
    spent = dict.fromkeys(tallies, 0.0)
    began, turn = time.monotonic(), first
    while time.monotonic() - began < seconds:
        for name, target in targets().items():
            start = time.monotonic()
            if start - began > seconds:
                break
            one_turn(target, tallies[name], turn=turn)
            spent[name] += time.monotonic() - start
        turn += 1
    _tell(f"seeds {first}..{turn - 1}, {time.monotonic() - began:.0f} s\n")
    _tell("| parser | inputs | accepted | refused | inputs/s | longest, s | findings |")
    _tell("|---|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        done = tally.accepted + tally.refused
        speed = f"{done / max(spent[name], 1e-9):.0f}"
        told = (name, done, tally.accepted, tally.refused, speed, f"{tally.longest:.2f}")
        _tell("| " + " | ".join(map(str, (*told, len(tally.findings)))) + " |")
    for name, tally in tallies.items():
        for where, story in tally.findings.items():
            _tell(f"\n{name}: {where}\n{story}")
    return 1 if any(tally.findings.values() for tally in tallies.values()) else 0


def one_turn(target: Target, tally: Tally, *, turn: int) -> None:
    """So many inputs from one seed; what is found is kept with its input and does not end the turn."""
    random.seed(turn)
    with TemporaryDirectory() as folder:

        @seed(turn)
        @settings(
            max_examples=TURN,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def fuzz(content: object) -> None:
            try:
                attempt(target, content, Path(folder), tally)
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
                tally.findings.setdefault(
                    where, f"{traceback.format_exc()[-3000:]}\nseed {turn}, input {content!r:.4000}"
                )

        fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
