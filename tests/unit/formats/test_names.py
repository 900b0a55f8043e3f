"""Class names come from strangers."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilled.formats.names import folder_names

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "",
    "   ",
    "/absolute",
    "C:\\windows",
    "a\x00b",
    "line\nbreak",
    "CON",
    "nul.txt",
    "-rf",
    "trailing. ",
    "x" * 5000,
    "\u202egnp",
    '*?<>|"',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_harmless_folder(name: str) -> None:
    (folder,) = folder_names([name])
    assert PurePosixPath(folder).parts == PureWindowsPath(folder).parts == (folder,)
    assert folder.strip(" .") == folder
    assert not folder.startswith("-")
    assert folder.upper().split(".")[0].rstrip("0123456789") not in {"CON", "PRN", "AUX", "NUL"}
    assert 0 < len(folder.encode()) <= 110
    assert folder.isprintable()


def test_plain_names_stay_as_they_are() -> None:
    plain = ["cat", "T-shirt_top", "maple tree", "größe", "猫", "0", "3.5"]
    assert folder_names(plain) == plain


def test_names_that_would_fall_together_are_kept_apart() -> None:
    assert folder_names(["cat", "Cat", "CAT", "a/b", "a_b"]) == ["cat", "Cat-2", "CAT-3", "a_b", "a_b-2"]
    assert folder_names(["é", "e\u0301"]) == ["é", "é-2"]
    assert folder_names(["a", "a", "a-2"]) == ["a", "a-2", "a-2-2"]


@settings(max_examples=50, deadline=None, database=None)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_two_folders_are_equal_on_any_file_system(names: list[str]) -> None:
    folders = folder_names(names)
    keys = {unicodedata.normalize("NFKC", folder).casefold() for folder in folders}
    assert len(keys) == len(folders) == len(names)
    assert all(PureWindowsPath(folder).parts == (folder,) for folder in folders)
