"""docs/cli.md, written from the commands themselves: `python -m distilled.cli.reference > docs/cli.md`."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from distilled.cli.exits import MEANINGS
from distilled.cli.main import build

_INTRODUCTION = """\
<!-- Written by `python -m distilled.cli.reference > docs/cli.md`; a test keeps it current. -->
# The command line

`distilled <command>`, or `python -m distilled <command>`.

Results go to stdout; progress bars, notes and errors to stderr. With `--json` a command prints one JSON document on
stdout and nothing else. Commands that follow something print JSON lines: `watch` and `submit --watch` one for each
event, then one for the job and one for the artifact, and `quickstart` likewise; `up`, `api`, `worker` and `migrate` one
for each event, such as `{"event": "ready", "url": …}`, while their logs go to stderr or to files. A failure is
`{"error": {"status", "title", "detail", "errors"}}`.

The service is the one at `--url` or `DISTILLED_URL`, else `http://127.0.0.1:8000`; its key is `--key` or
`DISTILLED_API_KEY`.
"""


def markdown() -> str:
    """The whole page."""
    group: Any = get_command(build())  # a command group, whose type typer does not export
    parts = [_INTRODUCTION, "## Exit codes\n", *_exit_codes(), ""]
    for name, command in _commands(group):
        parts += [f"## {name}\n", _sentences(command.help or ""), "", *_parameters(command), ""]
    return "\n".join(parts).rstrip() + "\n"


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """All commands with the words that call them; those of a group after it."""
    for name, command in group.commands.items():
        yield before + name, command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")


def _exit_codes() -> Iterator[str]:
    yield "| code | meaning |"
    yield "|---|---|"
    for code, meaning in MEANINGS.items():
        yield f"| {code.value} | {meaning} |"


def _parameters(command: Any) -> Iterator[str]:
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        yield "| parameter | what it does |"
        yield "|---|---|"
        yield from rows


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    if "--help" in names:
        return ""
    if parameter.param_type_name == "argument":
        names = [(parameter.metavar or parameter.name).upper()]
    told = _sentences(parameter.help or "")
    return f"| {', '.join(f'`{name}`' for name in names)} | {told} |"


def _sentences(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    print(markdown(), end="")
