"""Both stacks keep the promises of the API, first in peace and then under fire. `make faults` is the long campaign.

The cluster is two front ends and two workers on a real Redis, a real PostgreSQL and a bucket. Its processes are forks
of one that has imported everything (`tests.faults.machine`): as interpreters of their own, with one for each task, most
of the time would go into importing torch. That they start as such is tested in tests/acceptance and
tests/integration/test_compose.py.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.running import check_conformance
from tests.faults.campaign import Plan, References, references, run, told
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
def expected(tmp_path_factory: pytest.TempPathFactory) -> References:
    return references(tmp_path_factory.mktemp("data"), jobs=JOBS, kinds=KINDS)


@pytest.mark.services
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "key"), [("embedded", None), ("cluster", "a key of the root")])
def test_the_promises_of_the_api_are_kept(machine: Machine, tmp_path: Path, name: str, key: str | None) -> None:
    with STACKS[name](machine, tmp_path / "home", **({} if key is None else {"DISTILLED_API_KEY": key})) as stack:
        stack.start()
        check_conformance(*stack.urls, key=key)
        stack.stop()


@pytest.mark.services
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(STACKS))
def test_every_promise_is_kept_under_fire(machine: Machine, expected: References, tmp_path: Path, name: str) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}: repeat it with `python -m tests.faults --stack {name} --seed {seed}`")  # noqa: T201
    plan = Plan(jobs=JOBS, seed=seed, faults=len(DECKS[name]), kinds=KINDS, rest_seconds=1.5, deck=DECKS[name])
    with STACKS[name](machine, tmp_path / "home") as stack:
        outcome = run(stack, plan, expected=expected)
    assert not outcome.wrong, "\n".join([str(told(outcome)), *outcome.wrong])
    assert sum(outcome.states.values()) == JOBS
    assert sum(outcome.faults.values()) > 0
