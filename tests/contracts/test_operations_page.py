"""docs/operations.md tells every setting, with the default that it has, and no other."""

import re

from app.settings import AppSettings
from tests.contracts.pages import ROOT, page, quoted, rows
from workers.settings import WorkerSettings

NAME = re.compile(r"DISTILLED_[A-Z]+(?:_[A-Z]+)*")
CLIENT = {"DISTILLED_URL", "DISTILLED_CACHE", "DISTILLED_CACHE_BYTES"}
FIELDS = AppSettings.model_fields | WorkerSettings.model_fields


def names_in_the_code() -> set[str]:
    """Every variable that a setting reads, and every other one that the code names."""
    files = [path for part in ("app", "distilled", "registry", "workers") for path in (ROOT / part).rglob("*.py")]
    named = {found for path in files for found in NAME.findall(path.read_text(encoding="utf-8"))}
    return named | {f"DISTILLED_{field.upper()}" for field in FIELDS}


def test_every_name_is_told_and_no_other() -> None:
    assert set(NAME.findall(page("operations.md"))) == names_in_the_code()


def test_each_setting_has_a_row_of_its_own_with_its_default() -> None:
    told = {quoted(name)[0]: default for name, default, _, _ in rows("operations.md", head="name")}
    assert len(told) == len(list(rows("operations.md", head="name")))
    assert {f"DISTILLED_{field.upper()}" for field in FIELDS} == set(told) - CLIENT
    words = {"": "empty", None: "none", True: "`true`", False: "`false`"}
    for name, field in FIELDS.items():
        value = field.default
        if field.default_factory is None:
            plain = int(value) if isinstance(value, float) and value.is_integer() else value
            shown = words[value] if value in ("", None) or isinstance(value, bool) else f"`{plain}`"
            assert told[f"DISTILLED_{name.upper()}"] == shown


def test_numbers_have_a_unit() -> None:
    units = {quoted(name)[0]: unit for name, _, unit, _ in rows("operations.md", head="name")}
    wanted = {"seconds": "seconds", "hours": "hours", "bytes": "bytes"}
    for name, unit in units.items():
        ending = name.rpartition("_")[2].lower()
        assert unit == wanted.get(ending, unit), name


def test_the_commands_of_the_page_are_commands() -> None:
    known = {line.removeprefix("## ") for line in page("cli.md").splitlines() if line.startswith("## ")}
    used = set(re.findall(r"(?m)(?:^    (?:[A-Z_]+=\S+ )*|`)distilled ([a-z]+)", page("operations.md")))
    assert {"up", "api", "worker", "migrate", "doctor"} <= used
    assert used <= known
