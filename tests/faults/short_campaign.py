"""The short campaign: a dozen jobs on each stack, and the harm that matters most. `make faults` is the long one.

It has not been seen to end yet, so `make test` does not collect it: `pytest tests/faults/short_campaign.py` runs it.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import Plan, references, run, told
from tests.faults.stacks import STACKS, Machine

JOBS, KINDS = 12, 3
#: All that need not be waited for long; the long campaign has every kind.
DECKS = {
    "embedded": ("child killed", "worker killed", "API killed", "supervisor killed", "disk full", "clock an hour back"),
    "cluster": ("child killed", "worker killed", "Redis killed", "PostgreSQL crashed", "broker delivers all twice"),
}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    return references(tmp_path_factory.mktemp("data"), kinds=KINDS)


@pytest.mark.services
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(STACKS))
def test_every_promise_is_kept_under_fire(
    machine: Machine, expected: dict[int, str], tmp_path: Path, name: str
) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}: repeat it with `python -m tests.faults --stack {name} --seed {seed}`")  # noqa: T201
    plan = Plan(jobs=JOBS, seed=seed, faults=len(DECKS[name]), kinds=KINDS, rest_seconds=1.5, deck=DECKS[name])
    with STACKS[name](machine, tmp_path / "home") as stack:
        outcome = run(stack, plan, expected=expected)
    assert not outcome.wrong, "\n".join([str(told(outcome)), *outcome.wrong])
    assert sum(outcome.states.values()) == JOBS
    assert sum(outcome.faults.values()) > 0
