"""docs/errors.md tells every kind of problem that the API answers with, every code of a failed job, and no other."""

from app.errors import FRAMEWORK, KINDS
from distilled import errors as reading
from registry import errors as registry
from registry.leases import WORKER_LOST
from tests.contracts.pages import quoted, rows
from workers import failures
from workers.distill import errors as laboratory
from workers.distill import snapshots

#: Families of errors that can end a job: each class of theirs gives a code. The rest of the registry's refuse requests.
FAMILIES = (
    reading.InvalidInput,
    reading.ArtifactError,
    reading.DigestMismatch,
    laboratory.LabError,
    registry.RegistryUnavailable,
    registry.StoreError,
)
#: Described in other words, whatever their class is called; or never the end of a job.
OTHERWISE = (registry.RegistryFull, registry.StoreFull, snapshots.SnapshotUnreadable)
#: Bases that are never raised themselves.
ABSTRACT = (reading.InvalidInput,)


def family(base: type[Exception]) -> set[type[Exception]]:
    return {base}.union(*(family(below) for below in base.__subclasses__()))


def test_every_kind_of_problem_is_told_with_its_status() -> None:
    told = [(quoted(kind)[0], int(status)) for kind, status, _, _ in rows("errors.md", head="type")]
    kinds = [*KINDS.values(), *FRAMEWORK.values()]
    assert set(told) == {(f"/problems/{kind.slug}", kind.status) for kind in kinds}
    assert len(told) == len(set(told))
    assert [status for _, status in told] == sorted(status for _, status in told)


def test_every_code_of_a_failed_job_is_told() -> None:
    told = [code for cell, _, _ in rows("errors.md", head="code") for code in quoted(cell)]
    ours = ("distilled.errors", "registry.errors", "workers.")  # not those of the formats, nor those that tests define
    raised = set().union(*(family(base) for base in FAMILIES)) - {*OTHERWISE, *ABSTRACT}
    codes = {failures.describe(kind.__new__(kind))["code"] for kind in raised if kind.__module__.startswith(ours)}
    fixed = {
        failures.OUT_OF_MEMORY["code"],
        failures.NO_ROOM["code"],
        failures.describe(RuntimeError())["code"],
        WORKER_LOST["code"],
    }
    assert set(told) == codes | fixed
    assert len(told) == len(set(told))


def test_a_problem_that_the_pages_name_is_one() -> None:
    told = {quoted(kind)[0].removeprefix("/problems/") for kind, *_ in rows("errors.md", head="type")}
    told |= {code for cell, _, _ in rows("errors.md", head="code") for code in quoted(cell)}
    for what, does, _ in rows("operations.md", head="what happened"):
        for word in [*quoted(what), *quoted(does)]:
            if word.islower() and ("_" in word or "-" in word):
                assert word in told, word
