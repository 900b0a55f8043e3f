"""Movable names of artifacts."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import artifacts, errors
from registry.models import Alias
from registry.names import checked_name
from registry.session import lock_word


def put(session: Session, name: str, *, artifact: str) -> Alias:
    """Point a name at an artifact, given by id or by another alias, wherever it pointed before.

    Raises InvalidName, or NotFound when there is no such artifact.
    """
    checked_name(name)
    artifact_id = artifacts.get(session, artifact).id
    lock_word(session, f"alias {name}")
    alias = session.get(Alias, name)
    if alias is None:
        alias = Alias(name=name, artifact_id=artifact_id)
        session.add(alias)
    alias.artifact_id = artifact_id
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


def delete(session: Session, name: str) -> None:
    """Take the name away; its artifact stays. Raises NotFound."""
    session.delete(get(session, name))
    session.flush()
