"""docs/cli.md says what the commands are."""

from pathlib import Path

from distilled.cli.exits import MEANINGS, Exit
from distilled.cli.reference import markdown

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run: python -m distilled.cli.reference > docs/cli.md"


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


def test_every_parameter_is_explained() -> None:
    assert [line for line in markdown().splitlines() if line.endswith("|  |")] == []
