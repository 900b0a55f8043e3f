"""A key that does not open a door: the error that the users of each client know.

Those of the Hugging Face Hub and of Triton are tried in tests/integration/app, with the rest of what they do there.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import webdataset as wds
from fastapi import FastAPI
from tusclient import client as tus
from tusclient.exceptions import TusCommunicationError
from typer.testing import CliRunner

from app.services import Services
from distilled import errors
from distilled.cli.main import build
from distilled.client import Client
from registry import audit, keys, keys_here
from registry.scopes import ALL, Scope
from tests.integration.app.live import running
from tests.unit.app.conftest import Published
from tests.unit.app.keys.conftest import Held, cut
from tests.unit.cli.runner import ENVIRONMENT

RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}


@pytest.fixture
def live(keyed_app: FastAPI, keyed: Callable[..., object]) -> Iterator[str]:
    """A service with a root key behind a real server."""
    with running(keyed_app) as served:
        yield served.url


def test_our_client_says_what_the_key_lacks(live: str, held: dict[str, Held]) -> None:
    with Client(live, held["read"].secret) as client:
        assert client.whoami() == {"id": held["read"].id, "name": "read", "scopes": ["read"]}
        with pytest.raises(errors.NotAllowed, match=r"needs a key with the scope `submit`.*has: read") as caught:
            client.submit(RECIPE)
        assert caught.value.status == 403
    with Client(live, "dst_wrong") as client, pytest.raises(errors.NotAllowed, match="key is missing or wrong"):
        client.whoami()


def test_the_command_line_says_so_and_ends_with_its_code(live: str, held: dict[str, Held]) -> None:
    asked = ["submit", "--dataset", "digits", "--method", "dm", "--ipc", "1"]
    options = ["--url", live, "--key", held["read"].secret]
    ended = CliRunner(env=ENVIRONMENT).invoke(build(), [*asked, *options, "--json"])
    assert ended.exit_code == 2
    assert "scope `submit`" in ended.output
    assert json.loads(ended.stdout)["error"]["status"] == 403


def test_a_tus_client_says_that_it_may_not(live: str, held: dict[str, Held]) -> None:
    begun = tus.TusClient(f"{live}/v1/uploads", headers=held["read"].bearer)
    with pytest.raises(TusCommunicationError) as caught:
        begun.uploader(file_stream=io.BytesIO(b"abc"), chunk_size=3).upload()
    assert caught.value.status_code == 403
    assert b"scope-missing" in caught.value.response_content


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its pipes to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_webdataset_over_curl_fails_rather_than_being_empty(
    live: str, held: dict[str, Held], services: Services, published: Published
) -> None:
    url = f"{live}/v1/artifacts/{published.id}/download?format=webdataset"

    def read(secret: str) -> int:
        shard = f"pipe:curl -s -f -H 'Authorization: Bearer {secret}' '{url}'"
        return sum(1 for _ in wds.WebDataset(shard, shardshuffle=False))

    assert read(held["read"].secret) > 0
    # Curl's exit code, 22 for an answer of 400 or more; or that nothing came, where that is seen before curl has ended.
    with pytest.raises((OSError, tarfile.ReadError), match="curl"):
        read(held["none"].secret)


def test_keys_from_the_client_and_the_command_line(live: str, services: Services) -> None:
    boss = cut(services, "boss", [Scope.ADMIN])

    def command(*words: str, code: int = 0) -> str:
        told = CliRunner(env=ENVIRONMENT).invoke(build(), [*words, "--url", live, "--key", boss.secret])
        assert told.exit_code == code, told.output
        return told.stdout

    made = json.loads(command("keys", "create", "ci", "--scope", "read", "--expires-days", "2", "--json"))
    assert made["expires_at"] is not None
    with Client(live, boss.secret) as client:
        rotated = client.rotate_key(made["id"], grace_seconds=0)
        assert [key["id"] for key in client.list_keys()] == [rotated["id"], made["id"], boss.id]
        assert [line["action"] for line in client.audit(key_id=boss.id)] == ["key.rotate", "key.create"]
    shown = command("keys", "list")
    assert "expired" in shown
    assert rotated["secret"] not in shown
    again = command("keys", "rotate", rotated["id"], "--grace-hours", "1")
    assert "shown this once" in again
    assert command("whoami") == "boss: read submit admin\n"
    assert json.loads(command("keys", "revoke", rotated["id"], "--json")) == {"id": rotated["id"], "revoked": True}
    command("keys", "revoke", "key_" + "0" * 32, code=3)


def test_the_first_key_comes_from_the_server_s_own_machine(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLED_DATABASE_URL", f"sqlite:///{tmp_path}/registry.db")
    words = ["keys", "create", "me", "--scope", "admin", "--here", "--home", str(tmp_path), "--json"]
    told = CliRunner(env=ENVIRONMENT).invoke(build(), words)
    assert told.exit_code == 0, told.output
    made = json.loads(told.stdout)
    with services.database.read() as session:
        held = keys.find(session, made["secret"])
    assert held is not None
    assert (held.key_id, held.scopes) == (made["id"], ALL)
    assert keys_here.main(["revoke", made["id"]]) == 0
    assert json.loads(capsys.readouterr().out)["revoked"] is True
    with services.database.read() as session:
        assert keys.find(session, made["secret"]) is None
        assert [line.action for line in audit.find(session).items] == ["key.revoke", "key.create"]
    assert keys_here.main(["revoke", "key_" + "0" * 32]) == 1
    assert "There is no key" in capsys.readouterr().err
