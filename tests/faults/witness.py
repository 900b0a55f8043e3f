"""What the database itself saw: each change of who holds what, noted by a trigger in the transaction that made it."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import text

from registry import workers
from registry.errors import RegistryError
from registry.session import Database

TABLE = """CREATE TABLE witness (number {serial}, held VARCHAR(40), id VARCHAR(40), was VARCHAR(16), now VARCHAR(16),
  was_attempt INTEGER, now_attempt INTEGER, was_holder VARCHAR(300), now_holder VARCHAR(300))"""
CHANGED = "OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt OR COALESCE(OLD.worker, '') <> COALESCE(NEW.worker, '')"
NOTED = """INSERT INTO witness (held, id, was, now, was_attempt, now_attempt, was_holder, now_holder)
  VALUES ('{held}', OLD.id, OLD.state, NEW.state, OLD.attempt, NEW.attempt, OLD.worker, NEW.worker);"""
SQLITE = "CREATE TRIGGER witness_{held} AFTER UPDATE ON {held} WHEN {changed} BEGIN {noted} END"
FUNCTION = """CREATE FUNCTION witness_{held}() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN {noted} RETURN NEW; END $$"""
POSTGRESQL = """CREATE TRIGGER witness_{held} AFTER UPDATE ON {held} FOR EACH ROW WHEN ({changed})
  EXECUTE FUNCTION witness_{held}()"""

#: Every step that there is between states; a claim is the only one that changes the token.
STEPS = {
    ("queued", "running"),
    ("queued", "cancelled"),
    *(("running", state) for state in ("queued", "succeeded", "failed", "cancelled")),
}


@dataclass
class Testimony:
    """What the witness tells. wrong: what must never have been."""

    claims: int = 0
    requeued: int = 0
    wrong: list[str] = field(default_factory=list[str])
    attempts: Counter[str] = field(default_factory=Counter[str])


def set_up(database: Database) -> None:
    """Begin to note."""
    tables = [model.__tablename__ for model in workers.HELD]
    with database.write() as session:
        sqlite = session.get_bind().dialect.name == "sqlite"
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if sqlite else "BIGSERIAL PRIMARY KEY"
        statements = [TABLE.format(serial=serial)]
        for held in tables:
            told = {"held": held, "changed": CHANGED, "noted": NOTED.format(held=held)}
            statements += [form.format(**told) for form in ((SQLITE,) if sqlite else (FUNCTION, POSTGRESQL))]
        for statement in statements:
            session.execute(text(statement))


def count(database: Database) -> int:
    """How much has been noted so far; -1 where the database cannot be asked."""
    try:
        with database.read() as session:
            return session.scalar(text("SELECT count(*) FROM witness")) or 0
    except RegistryError:
        return -1


def ask(database: Database) -> Testimony:
    """Go through all that was noted."""
    with database.read() as session:
        rows = session.execute(text("SELECT * FROM witness ORDER BY number")).all()
    told = Testimony()
    stories: dict[str, list[tuple[str, str, int, int, str | None, str | None]]] = {}
    for _, _, row_id, *step in rows:
        stories.setdefault(row_id, []).append(tuple(step))  # type: ignore[arg-type]
    for row_id, story in stories.items():
        for was, now, was_attempt, now_attempt, was_holder, now_holder in story:
            claim = (was, now) == ("queued", "running")
            told.claims += claim
            told.requeued += (was, now) == ("running", "queued")
            told.attempts[row_id] = max(told.attempts[row_id], now_attempt)
            if (was, now) not in STEPS:
                told.wrong.append(f"{row_id} went from {was} to {now}")
            if now_attempt != was_attempt + claim:
                told.wrong.append(f"{row_id} went from attempt {was_attempt} to {now_attempt} as it became {now}")
            if was_holder != now_holder and not claim:
                told.wrong.append(f"{row_id} went from {was_holder} to {now_holder} without a claim")
        for before, after in pairwise(story):
            if (before[1], before[3]) != (after[0], after[2]):
                told.wrong.append(f"{row_id} was left {before[1]} and found {after[0]}")
    return told
