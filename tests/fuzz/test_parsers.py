"""A short and seeded fuzz of every parser of what strangers send; `make fuzz` is the long one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.parsers import SEEDED, Tally, attempt, targets

NAMES = ("npz", "archive", "parquet", "image", "artifact", "range", "inference", "cursor", "upload metadata")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_made_to_break_a_parser_is_refused_or_read_never_worse(tmp_path: Path, name: str) -> None:
    target, tally = targets()[name], Tally()

    @SEEDED
    @given(target.inputs)
    def fuzz(content: object) -> None:
        attempt(target, content, tmp_path, tally)

    fuzz()
    assert tally.accepted
    assert tally.refused


def test_all_parsers_are_fuzzed() -> None:
    assert set(NAMES) == set(targets())


def test_what_is_no_refusal_is_found(tmp_path: Path) -> None:
    """The fuzz itself can fail."""
    target = targets()["cursor"]
    broken = type(target)(st.just("x"), lambda _, __: 1 / 0, target.refusals)
    with pytest.raises(ZeroDivisionError):
        attempt(broken, "x", tmp_path, Tally())
