"""Ids, cursors, settings and errors: the small values everything else is made of."""

import base64
import inspect
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from registry import errors, ids, paging
from registry.paging import Position
from registry.settings import Settings

ID = "art_" + "0" * 32


def test_ids_are_sorted_by_age_and_never_repeat() -> None:
    made = [ids.new_id("job") for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_ids_are_version_7_uuids_with_their_kind() -> None:
    made = ids.uuid7()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert ids.is_id(ids.new_id("dataset"), kind="dataset")
    assert not ids.is_id(ids.new_id("dataset"), kind="job")
    assert not ids.is_id("job_" + "0" * 32 + "\n", kind="job")


@pytest.mark.parametrize("value", [None, 3, 0.1 + 0.2, -1.0])
def test_cursors_bring_back_the_exact_position(value: float | None) -> None:
    position = Position(sort="-accuracy", value=value, row_id=ID)
    assert paging.decode(paging.encode(position), sort="-accuracy") == position


def cursor_of(parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "====",
        "a",
        "!!!!",
        cursor_of([]),
        cursor_of({"a": 1}),
        cursor_of(7),
        cursor_of(["created", None, ID]),
        cursor_of(["-created", "text", ID]),
        cursor_of(["-created", True, ID]),
        cursor_of(["-created", float("nan"), ID]),
        cursor_of(["-created", 10**30, ID]),
        cursor_of(["-created", None, "' OR 1=1"]),
        cursor_of(["-created", None, 5]),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_anything_else_is_an_invalid_cursor(cursor: str) -> None:
    with pytest.raises(errors.InvalidCursor):
        paging.decode(cursor, sort="-created")


def test_settings_all_follow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLED_HOME", str(tmp_path))
    monkeypatch.setenv("DISTILLED_LEASE_SECONDS", "5")
    settings = Settings()
    assert settings.database_url == f"sqlite:///{tmp_path}/registry.db"
    assert settings.store_url == (tmp_path / "store").as_uri()
    assert (settings.data_dir, settings.queue_dir) == (tmp_path / "data", tmp_path / "queue")
    assert (settings.lease_seconds, settings.max_attempts) == (5.0, 3)


def test_settings_are_frozen_and_checked() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_attempts = 5
    with pytest.raises(ValidationError, match="greater than"):
        Settings(lease_seconds=0)


def test_every_error_says_what_to_do_and_stands_in_the_tree() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert all(issubclass(kind, errors.RegistryError) for kind in kinds)
    given = {errors.QuotaExceeded: {"quota": "jobs", "limit": 1, "used": 1, "seconds": 5}}
    said = {kind: str(kind(**given.get(kind, {}))) for kind in kinds if kind is not errors.RegistryError}
    silent = [kind.__name__ for kind, words in said.items() if ";" not in words]
    assert silent == []
    assert [kind.__name__ for kind in kinds if kind.__name__ not in (errors.__doc__ or "")] == []
    assert str(errors.NotFound("nothing here")) == "nothing here"
