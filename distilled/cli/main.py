"""The command line: `distilled <command>`, also as `python -m distilled`."""

from typing import Annotated

import typer

from distilled import __version__
from distilled.cli import artifacts, data, evaluations, jobs, keys, plot, quickstart, server, upkeep
from distilled.cli.exits import MEANINGS
from distilled.cli.session import Commands

_HELP = "Make distilled datasets, find them and draw from them."
_EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."


def build() -> typer.Typer:
    """A fresh command line with all its commands."""
    app = typer.Typer(
        cls=Commands,
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_distilled)
    for part in (quickstart, server, jobs, artifacts, upkeep, evaluations, plot, data, keys):
        part.register(app)
    return app


def main() -> None:
    """Run the command line; the process ends with one of `distilled.cli.exits`."""
    build()()


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"distilled {__version__}")
        raise typer.Exit


def _distilled(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """The options of `distilled` itself."""
