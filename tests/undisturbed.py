"""What a recipe comes to where nobody interferes: the laboratory alone, in one go."""

import hashlib
from typing import Any

import distilled
from distilled.recipe import expand
from workers.distill.catalog import build
from workers.distill.data import RealData
from workers.distill.events import Finished
from workers.distill.loop import run


def undisturbed(recipe: dict[str, Any], real: RealData, *, base: bytes | None = None) -> str:
    """The digest of the artifact's file. base: that of the memory that is continued."""
    *_, finished = run(expand(recipe, build()), real, base=base, code_version=distilled.__version__)
    assert isinstance(finished, Finished)
    return hashlib.sha256(finished.content).hexdigest()
