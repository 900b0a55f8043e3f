"""Keys: only a hash is kept, and what is over opens nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from registry import errors, keys
from registry.models import ApiKey
from registry.scopes import ALL, Scope, implied
from registry.session import Database


def test_a_secret_is_found_and_kept_nowhere(database: Database) -> None:
    with database.write() as session:
        cut = keys.make(session, name="ci", scopes=[Scope.SUBMIT])
    with database.read() as session:
        held = keys.find(session, cut.secret)
        row = session.scalars(select(ApiKey)).one()
    assert held is not None
    assert (held.key_id, held.name, held.seconds) == (cut.key.id, "ci", None)
    assert held.scopes == {Scope.READ, Scope.SUBMIT}
    assert len(cut.secret) == len(keys.MARK) + 43
    assert row.prefix == cut.secret[: keys.PREFIX_LENGTH]
    assert all(cut.secret not in str(value) for value in vars(row).values())


def test_two_keys_have_two_secrets(database: Database) -> None:
    with database.write() as session:
        made = [keys.make(session, name="ci", scopes=[Scope.READ]) for _ in range(20)]
    assert len({cut.secret for cut in made}) == len({cut.key.id for cut in made}) == 20


@pytest.mark.parametrize("wrong", ["", "dst_", "x", "dst_" + "A" * 43, "é", "\0", "\ud800", "a" * 10_000])
def test_nobody_holds_another_secret(database: Database, wrong: str) -> None:
    with database.write() as session:
        keys.make(session, name="ci", scopes=ALL)
        assert keys.find(session, wrong) is None


def test_each_scope_contains_those_before() -> None:
    assert implied([]) == frozenset()
    assert implied([Scope.READ]) == {Scope.READ}
    assert implied([Scope.ADMIN]) == implied(Scope) == ALL


def test_an_expired_key_opens_nothing_and_still_counts_as_one(database: Database) -> None:
    with database.write() as session:
        assert not keys.are_there(session)
        short = keys.make(session, name="short", scopes=ALL, seconds=100)
        held = keys.find(session, short.secret)
        assert held is not None
        assert held.seconds == pytest.approx(100, abs=5)
        short.key.expires = keys.now(session) - 1
        session.flush()
        assert keys.find(session, short.secret) is None
        assert keys.are_there(session)


def test_a_revoked_key_opens_nothing_and_counts_no_more(database: Database) -> None:
    with database.write() as session:
        cut = keys.make(session, name="ci", scopes=ALL)
        ended = keys.revoke(session, cut.key.id).revoked_at
        assert keys.find(session, cut.secret) is None
        assert keys.revoke(session, cut.key.id).revoked_at == ended
        assert not keys.are_there(session)
        with pytest.raises(errors.NotFound):
            keys.revoke(session, "key_" + "0" * 32)


def test_a_rotated_key_lives_on_for_the_grace(database: Database) -> None:
    with database.write() as session:
        old = keys.make(session, name="ci", scopes=[Scope.SUBMIT])
        new = keys.rotate(session, old.key.id, grace_seconds=60)
        assert new.key.rotated_from == old.key.id
        assert (new.key.name, new.key.scopes) == ("ci", ["submit"])
        left = keys.find(session, old.secret)
        assert left is not None
        assert left.seconds == pytest.approx(60, abs=5)
        assert keys.find(session, new.secret) is not None
        at_once = keys.rotate(session, new.key.id, grace_seconds=0)
        assert keys.find(session, new.secret) is None
        assert keys.find(session, at_once.secret) is not None
        with pytest.raises(errors.Conflict):
            keys.rotate(session, new.key.id, grace_seconds=60)


def test_a_rotation_makes_no_key_live_longer(database: Database) -> None:
    with database.write() as session:
        short = keys.make(session, name="ci", scopes=ALL, seconds=10)
        keys.rotate(session, short.key.id, grace_seconds=3600)
        left = keys.find(session, short.secret)
        assert left is not None
        assert left.seconds is not None
        assert left.seconds <= 10


def test_the_last_key_that_makes_others_is_kept_where_asked_for(database: Database) -> None:
    with database.write() as session:
        first = keys.make(session, name="admin", scopes=[Scope.ADMIN])
        keys.make(session, name="ci", scopes=[Scope.SUBMIT])
    with pytest.raises(errors.InUse), database.write() as session:
        keys.revoke(session, first.key.id, keep_admin=True)
    with database.write() as session:
        assert keys.find(session, first.secret) is not None
        second = keys.make(session, name="admin", scopes=[Scope.ADMIN])
        keys.revoke(session, first.key.id, keep_admin=True)
        keys.revoke(session, second.key.id)


def test_the_last_use_never_goes_back(database: Database) -> None:
    now = datetime.now(UTC)
    with database.write() as session:
        key_id = keys.make(session, name="ci", scopes=ALL).key.id
        keys.used(session, {key_id: now, "key_" + "0" * 32: now})
        keys.used(session, {key_id: now - timedelta(hours=1)})
    with database.read() as session:
        assert keys.get(session, key_id).last_used_at == now


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 97, "job_" + "0" * 32])
def test_a_key_has_a_name_of_ours(database: Database, name: str) -> None:
    with database.write() as session, pytest.raises(errors.InvalidName):
        keys.make(session, name=name, scopes=ALL)


def test_pages_are_by_age(database: Database) -> None:
    with database.write() as session:
        ids = [keys.make(session, name=f"k{i}", scopes=ALL).key.id for i in range(3)]
        first = keys.page(session, limit=2)
        rest = keys.page(session, limit=2, cursor=first.next_cursor)
    assert [key.id for key in (*first.items, *rest.items)] == ids[::-1]
