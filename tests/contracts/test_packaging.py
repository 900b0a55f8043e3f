"""The wheel holds what the library reads, and the pins hold what the ranges allow."""

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_of_the_library_goes_into_the_wheel() -> None:
    declared = project()["tool"]["setuptools"]["package-data"]
    found = {
        path.relative_to(ROOT)
        for path in (ROOT / "distilled").rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    told = {
        path.relative_to(ROOT)
        for package, patterns in declared.items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert found == told
    assert Path("distilled/cli/quickstart.json") in found


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if re.match(r"[A-Za-z0-9]", line))
    }
    told = project()
    groups = [told["project"]["dependencies"], *told["project"]["optional-dependencies"].values()]
    for text in [*(text for group in groups for text in group), *told["dependency-groups"]["dev"]]:
        wanted = Requirement(text)
        if wanted.name != "distilled":
            assert pinned[canonicalize_name(wanted.name)] in wanted.specifier, text
