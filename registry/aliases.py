"""Movable names of artifacts, and their history: each move is written down in the transaction that makes it."""

from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import artifacts, errors, paging
from registry.audit import NOBODY, Who
from registry.ids import new_id
from registry.models import Alias, AliasMove
from registry.names import checked_name
from registry.paging import Page
from registry.session import lock_word

Check = Callable[[str | None], None]


def put(session: Session, name: str, *, artifact: str, check: Check | None = None, who: Who = NOBODY) -> Alias:
    """Point a name at an artifact, given by id or by another alias, wherever it pointed before.

    check: called with the id that the name points to, None for a new one, before anything is changed; what it raises
    leaves everything as it was. Raises InvalidName, or NotFound when there is no such artifact.
    """
    checked_name(name)
    artifact_id = artifacts.get(session, artifact, hold=True).id
    alias = _locked(session, name)
    before = None if alias is None else alias.artifact_id
    if check is not None:
        check(before)
    if alias is None:
        alias = Alias(name=name, artifact_id=artifact_id)
        session.add(alias)
    alias.artifact_id = artifact_id
    if before != artifact_id:
        _note(session, name, before=before, after=artifact_id, who=who)
    session.flush()
    return alias


def get(session: Session, name: str) -> Alias:
    """The alias of this name; raises NotFound."""
    alias = session.get(Alias, name)
    if alias is None:
        raise errors.NotFound(f"There is no alias {name!r}; PUT /v1/aliases/{{name}} makes one.")
    return alias


def of_artifacts(session: Session, artifact_ids: Sequence[str]) -> dict[str, list[str]]:
    """The names of each of these artifacts, in alphabetical order; those without a name are absent."""
    names: dict[str, list[str]] = {}
    for alias in session.scalars(select(Alias).where(Alias.artifact_id.in_(artifact_ids)).order_by(Alias.name)):
        names.setdefault(alias.artifact_id, []).append(alias.name)
    return names


def find(session: Session) -> Sequence[Alias]:
    """All aliases by name."""
    return session.scalars(select(Alias).order_by(Alias.name)).all()


def delete(session: Session, name: str, *, check: Check | None = None, who: Who = NOBODY) -> None:
    """Take the name away; its artifact stays, and so does its history. `check` as in `put`. Raises NotFound."""
    _locked(session, name)
    alias = get(session, name)
    if check is not None:
        check(alias.artifact_id)
    _note(session, name, before=alias.artifact_id, after=None, who=who)
    session.delete(alias)
    session.flush()


def history(session: Session, name: str, *, limit: int = 50, cursor: str | None = None) -> Page[AliasMove]:
    """A page of a name's moves, the newest first, also of one that was taken away.

    Raises NotFound for a name that never was, InvalidCursor.
    """
    page = paging.newest_first(
        session, select(AliasMove).where(AliasMove.name == name), AliasMove.id, limit=limit, cursor=cursor
    )
    if not page.items and cursor is None:
        get(session, name)  # one that was set before histories were kept has none yet
    return page


def _locked(session: Session, name: str) -> Alias | None:
    """The alias as it is now, and nobody else moves it before this transaction ends."""
    lock_word(session, f"alias {name}")
    return session.get(Alias, name, populate_existing=True)


def _note(session: Session, name: str, *, before: str | None, after: str | None, who: Who) -> None:
    move = AliasMove(id=new_id("move"), name=name, from_artifact_id=before, to_artifact_id=after)
    move.request_id, move.key_id = who.request_id, who.key_id
    session.add(move)
