"""Comparing, following names, taking back and freeing room: client and command line against the real front end."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.services import Services
from distilled import errors
from distilled.cli.main import build
from distilled.client import Client
from tests.unit.app.conftest import (  # noqa: F401 - fixtures
    Published,
    artifact_file,
    evaluate,
    logs,
    publish,
    published,
    services,
    settings,
    template,
)
from tests.unit.cli.runner import ENVIRONMENT
from tests.unit.client.test_against_the_app import Connect, connect, remote  # noqa: F401 - fixtures


@pytest.fixture
def other(services: Services, published: Published) -> Published:  # noqa: F811 - fixtures by their names
    evaluate(services, published.id, accuracy=0.8)
    made = publish(services, file=artifact_file(seed=1, held=4))
    evaluate(services, made.id, accuracy=0.9)
    return made


def command(connect: Connect, *words: str) -> Result:  # noqa: F811
    return CliRunner(env=ENVIRONMENT).invoke(build(), list(words), obj=connect)


def document(connect: Connect, *words: str) -> Any:  # noqa: F811
    result = command(connect, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_name_moves_only_from_where_it_was_expected(
    remote: Client,  # noqa: F811
    connect: Connect,  # noqa: F811
    published: Published,  # noqa: F811
    other: Published,
) -> None:
    remote.alias("best", published.id)
    remote.alias("best", other.id, expected=published.id)
    with pytest.raises(errors.Conflict, match=other.id):
        remote.alias("best", published.id, expected=published.id)
    assert command(connect, "alias", "best", published.id, "--expected", published.id).exit_code != 0
    assert [move["action"] for move in remote.alias_history("best")] == ["moved", "set"]
    assert document(connect, "alias", "best", "--history")["items"] == list(remote.alias_history("best"))
    shown = command(connect, "alias", "best", "--history").stdout
    assert "moved" in shown
    assert other.id in shown
    assert command(connect, "alias", "best", "--delete", "--history").exit_code == 2
    assert document(connect, "alias", "best", "--delete") == {"name": "best", "deleted": True}
    assert next(remote.alias_history("best"))["action"] == "deleted"
    with pytest.raises(errors.NotFound):
        list(remote.alias_history("never"))


def test_two_artifacts_side_by_side(
    remote: Client,  # noqa: F811
    connect: Connect,  # noqa: F811
    published: Published,  # noqa: F811
    other: Published,
) -> None:
    found = remote.compare(published.id, other.id)
    assert document(connect, "compare", published.id, other.id) == found
    shown = command(connect, "compare", published.id, other.id).stdout
    for words in (published.id, "convnet3", "80.0", "90.0", "+10.0", "too few repeats"):
        assert words in shown
    with pytest.raises(errors.NotFound):
        remote.compare(published.id, "nothing")


def test_what_was_deleted_comes_back_until_it_is_swept(
    remote: Client,  # noqa: F811
    connect: Connect,  # noqa: F811
    published: Published,  # noqa: F811
    other: Published,
) -> None:
    remote.delete_artifact(published.id)
    assert [found.id for found in remote.find(deleted=True)] == [published.id]
    assert remote.sweep()["deleted"]["count"] == 1
    assert remote.restore(published.id).id == published.id
    assert document(connect, "delete", other.id) == {"id": other.id, "deleted": True}
    assert document(connect, "restore", other.id)["id"] == other.id
    assert "distilled restore" in command(connect, "delete", other.id).stdout
    looked = document(connect, "sweep", "--grace-seconds", "0")
    assert (looked["dry_run"], looked["artifacts"]["count"]) == (True, 1)
    assert "would be freed" in command(connect, "sweep", "--dry-run", "--grace-seconds", "0").stdout
    assert "were freed" in command(connect, "sweep", "--no-dry-run", "--grace-seconds", "0").stdout
    with pytest.raises(errors.NotFound, match="swept"):
        remote.restore(other.id)
    assert [found.id for found in remote.find()] == [published.id]


def test_a_dry_run_says_what_a_job_will_take(remote: Client, connect: Connect) -> None:  # noqa: F811
    shown = command(connect, "submit", "--dataset", "digits", "--method", "dm", "--ipc", "1", "--dry-run").stdout
    assert "a first guess: no such job has finished" in shown
    assert "place in the queue: 1" in shown
    job = remote.submit(dataset="digits", method="dm", ipc=1)
    assert remote.webhooks(job) == []
