"""docs/penalties.md has a section for each penalty, which names its knobs."""

from dataclasses import fields

import pytest

from tests.contracts.pages import page, quoted
from workers.distill.penalties.base import PENALTIES, PenaltyConfig, penalty_class

BEFORE, *SECTIONS = page("penalties.md").split("\n## ")
SECTION = {quoted(text)[0]: text for text in SECTIONS}


def names(config: type) -> set[str]:
    return {item.name for item in fields(config)}


def test_each_penalty_has_a_section_and_no_other_has_one() -> None:
    assert list(SECTION) == sorted(PENALTIES)


@pytest.mark.parametrize("kind", sorted(PENALTIES))
def test_each_knob_is_named(kind: str) -> None:
    own = names(penalty_class(kind).Config) - names(PenaltyConfig)
    assert own - set(quoted(SECTION[kind])) == set()
    assert names(PenaltyConfig) <= set(quoted(BEFORE))
