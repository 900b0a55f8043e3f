"""Lines of the log: one JSON object each, with the ids that are bound, and without secrets."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars

from registry import logs, tracing
from registry.settings import LogFormat, Settings
from tests.tracing import traced

Configure = Callable[..., None]


class Secretive(Settings):
    """Settings with a secret of their own, as the front end's."""

    api_key: SecretStr | None = None


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, structlog.get_config()
    yield lambda **settings: logs.configure(Secretive(home=tmp_path, **settings))
    root.handlers[:], root.level = before[:2]
    structlog.configure(**before[2])


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_line_is_an_object_with_what_is_bound(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with bound_contextvars(request_id="r", job_id="job_1", attempt=2):
        logs.get("workers.child").info("starts", path=Path("x"))
        logging.getLogger("a.library").warning("of its own: %s", "words")
    logging.getLogger("a.library").info("later")
    ours, theirs, later = lines(capsys)
    assert (ours["event"], ours["logger"], ours["level"], ours["path"]) == ("starts", "workers.child", "info", "x")
    for line in (ours, theirs):
        assert (line["request_id"], line["job_id"], line["attempt"]) == ("r", "job_1", 2)
        assert line["timestamp"].endswith("Z")
    assert "request_id" not in later


def test_a_line_names_its_trace(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with traced(), tracing.span("distil"):
        logs.get("x").info("traced")
        wanted = tracing.trace_id()
    assert [line["trace_id"] for line in lines(capsys)] == [wanted]


def test_the_level_and_the_form_are_settings(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_level="WARNING", log_format=LogFormat.TEXT)
    logs.get("x").info("unheard")
    logs.get("x").warning("heard", step=1)
    told = capsys.readouterr().err
    assert "unheard" not in told
    assert "heard" in told
    assert "step=1" in told
    assert not told.startswith("{")


def test_no_secret_is_logged_wherever_it_turns_up(
    configure: Configure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "password": "p4ssw0rd-of-the-database",
        "broker": 'a"quoted\\one',
        "key": "the-root-key-of-the-service",
        "aws": "wJalrXUtnFEMI/K7MDENG",
        "webhook": "whsec_" + "A1b2" * 8,
        "issued": "dst_" + "x-_9" * 10,
        "other": "not-known-to-us-9",
    }
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets["aws"])
    configure(
        database_url=f"postgresql://u:{secrets['password']}@db/distilled",
        broker_url="redis://:a%22quoted%5Cone@broker:6379/0",
        api_key=SecretStr(secrets["key"]),
    )
    log = logs.get("x")
    log.info("settings", url=f"postgresql://u:{secrets['password']}@db/distilled", broker=secrets["broker"])
    log.info(f"Authorization: Bearer {secrets['other']}", header=f"bearer {secrets['issued']}", key=secrets["key"])
    log.warning("store", error=f"GET https://s3/x?X-Amz-Signature={secrets['other']}&part=1 {secrets['aws']}")
    logging.getLogger("lib").error("amqp://guest:%s@rabbit", secrets["other"])
    try:
        raise ValueError(secrets["webhook"], secrets["password"])
    except ValueError:
        log.exception("failed")
    told = capsys.readouterr().err
    for name, secret in secrets.items():
        assert secret not in told, name
        assert json.dumps(secret)[1:-1] not in told, name
    assert "part=1" in told
    assert "postgresql://u:***@db/distilled" in told
    assert all(json.loads(line) for line in told.splitlines())
