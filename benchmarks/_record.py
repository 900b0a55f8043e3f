"""The record of a benchmark: a JSON line for each measurement, so that what is there is not made again."""

import json
from pathlib import Path
from typing import Any

from workers.distill.evaluate import BASELINES


def lines(path: Path) -> list[dict[str, Any]]:
    """The measurements so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def add(path: Path, line: dict[str, Any]) -> None:
    """One more measurement."""
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line, sort_keys=True) + "\n")


def baselines(path: Path) -> dict[str, Any]:
    """key -> score of every baseline in the record's evaluations."""
    return {line["result"]["baseline_keys"][name]: line["result"][name] for line in lines(path) for name in BASELINES}
