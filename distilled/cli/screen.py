"""What a command says: one JSON document for scripts, or words and tables for people.

Results go to stdout; progress, notes and errors to stderr, so that a pipe carries the result alone.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from distilled.errors import InvalidInput, Problem, ServiceError

_PIPE_COLUMNS = 160  # into a file or a pipe, where nobody says how wide a line may be


def _stdout() -> Console:
    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(soft_wrap=True, highlight=False, width=None if terminal else _PIPE_COLUMNS)


def _stderr() -> Console:
    terminal = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(stderr=True, soft_wrap=True, highlight=False, width=None if terminal else _PIPE_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Where one command's words go. as_json: print JSON alone on stdout, and nothing for people."""

    as_json: bool
    out: Console = field(default_factory=_stdout)
    err: Console = field(default_factory=_stderr)

    def document(self, value: object) -> None:
        """The one JSON document of the command."""
        if self.as_json:
            _write(json.dumps(value, indent=2, ensure_ascii=False))

    def line(self, value: object) -> None:
        """One of the JSON lines of a command that follows something."""
        if self.as_json:
            _write(json.dumps(value, ensure_ascii=False))

    def event(self, name: str, words: str = "", **facts: object) -> None:
        """Something that happened to a process that goes on: a JSON line with the facts, or the words for people."""
        self.line({"event": name, **facts})
        if words:
            self.say(f"distilled: {words}")

    def say(self, text: str) -> None:
        """A sentence for people. It is data, not markup: what looks like a tag stays as it is."""
        if not self.as_json:
            self.out.print(text, markup=False)

    def show(self, table: Table) -> None:
        if not self.as_json:
            self.out.print(table, soft_wrap=False)

    def note(self, text: str) -> None:
        """A remark that is no result."""
        if not self.as_json:
            self.err.print(text, markup=False, style="dim")

    def failure(self, error: Exception) -> None:
        """Why the command failed: in words on stderr, and as the document where JSON is asked for."""
        self.line({"error": _described(error)})  # one line: the command may be one that prints JSON lines
        faults = error.errors if isinstance(error, ServiceError) else ()
        if faults and isinstance(error, ServiceError):
            self.err.print(f"distilled: {error.title}", markup=False, style="red")
            for fault in faults:
                self.err.print(f"  {fault.pointer or '/'}: {fault.detail}", markup=False)
        else:
            self.err.print(f"distilled: {error}", markup=False, style="red")


def table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    """An empty table; columns named in `right` hold figures."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def text(value: Any) -> str:
    """A cell: nothing for None, no markup from other people's names."""
    return "" if value is None else str(value).replace("[", r"\[")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _described(error: Exception) -> Mapping[str, object]:
    if isinstance(error, ServiceError):
        about = {"status": error.status, "title": error.title or str(error), "detail": error.detail}
        return {**about, "errors": _listed(error.errors)}
    faults = _listed(error.problems) if isinstance(error, InvalidInput) else []
    return {"status": 0, "title": type(error).__name__, "detail": str(error), "errors": faults}


def _listed(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems]
