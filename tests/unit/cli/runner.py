"""The command line against a scripted service."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from distilled.cli.main import build
from tests.unit.client.service import FakeService

ENVIRONMENT = {"DISTILLED_URL": None, "DISTILLED_API_KEY": None, "COLUMNS": "120"}


def run(service: FakeService, *arguments: str, stdin: str | None = None) -> Result:
    def connect(url: str | None, key: str | None) -> Any:
        return service.client(url or "http://127.0.0.1:8000", key)

    return CliRunner(env=ENVIRONMENT).invoke(build(), list(arguments), obj=connect, input=stdin)


def document(result: Result) -> Any:
    """The one JSON document on stdout; that nothing else is there is part of the check."""
    return json.loads(result.stdout)
