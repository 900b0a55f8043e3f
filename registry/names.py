"""What a name of ours may look like: safe in a URL, in a file name and in a Hugging Face repository's name."""

import re

from registry import errors
from registry.ids import ID_PATTERN

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def checked_name(name: str) -> str:
    """The name itself; raises InvalidName when it is not one, or looks like an id."""
    if ID_PATTERN.fullmatch(name):
        raise errors.InvalidName(f"{name!r} has the form of an id; choose a name that cannot be taken for one.")
    if not NAME_PATTERN.fullmatch(name):
        raise errors.InvalidName
    return name
