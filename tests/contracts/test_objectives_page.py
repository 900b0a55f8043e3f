"""docs/objectives.md has a section for each objective, which names its knobs."""

from dataclasses import fields

import pytest

from tests.contracts.pages import page, quoted
from workers.distill.objectives.base import OBJECTIVES, OptimiserConfig, objective_class

BEFORE, *SECTIONS = page("objectives.md").split("\n## ")
SECTION = {quoted(text)[0]: text for text in SECTIONS}


def names(config: type) -> set[str]:
    return {item.name for item in fields(config)}


def test_each_objective_has_a_section_and_no_other_has_one() -> None:
    assert list(SECTION) == sorted(OBJECTIVES)


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_each_knob_is_named(kind: str) -> None:
    own = names(objective_class(kind).Config) - names(OptimiserConfig)
    assert own - set(quoted(SECTION[kind])) == set()


def test_the_knobs_that_all_have_stand_before_them() -> None:
    assert names(OptimiserConfig) - set(quoted(BEFORE)) == set()
