"""Logging of every process of the service: one line an event on stderr, as JSON, or for people on a terminal.

What is bound to the context (`request_id`, `job_id`, `attempt`, …) is in each line below it, the libraries' lines too.
No line holds a secret: what the process was given as one, and what looks like one, is struck out at the very end.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr
from structlog.types import EventDict, Processor

from registry import tracing
from registry.settings import LogFormat, Settings

STRUCK = "***"
#: Shorter ones are words that would be struck out of every line.
MIN_SECRET = 8
#: Variables that hold a secret, by their name.
SECRET_NAME = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD)$")
#: Parameters of an address that do.
IN_ADDRESS = "secret|token|key|password|credential|sig"
PATTERNS = (
    (re.compile(r"(://[^/\s:@\"']*):[^@\s/\"']+@"), rf"\1:{STRUCK}@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {STRUCK}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), f"whsec_{STRUCK}"),
    (
        re.compile(
            r"([?&][^=&\s\"']*(?:secret|token|key|password|credential|sig)[^=&\s\"']*=)[^&\s\"'<>]+", re.IGNORECASE
        ),
        rf"\1{STRUCK}",
    ),
)


def configure(settings: Settings) -> None:
    """Set up logging for this process; called once by whoever starts it, never at import."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    on_terminal = sys.stderr.isatty()
    words = settings.log_format is LogFormat.TEXT or (settings.log_format is LogFormat.AUTO and on_terminal)
    last: Processor = structlog.processors.JSONRenderer(default=str)
    if words:
        last = structlog.dev.ConsoleRenderer(colors=on_terminal)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet(foreign_pre_chain=shared, processor=last, secrets=secrets(settings, os.environ)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # kombu warns on every connection of a broker without a host that it means this one.
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    return structlog.stdlib.get_logger(name)


def secrets(settings: Settings, environment: Mapping[str, str]) -> set[str]:
    """What this process was given as secrets: settings, variables that are named so, and passwords in addresses."""
    given = [value.get_secret_value() for value in dict(settings).values() if isinstance(value, SecretStr)]
    given += [value for name, value in environment.items() if SECRET_NAME.search(name)]
    for url in (settings.database_url, settings.broker_url):
        password = urlsplit(url).password or ""
        given += [password, unquote(password)]
    return {word for text in given for word in text.split() if len(word) >= MIN_SECRET}


class Discreet(structlog.stdlib.ProcessorFormatter):
    """Strikes secrets out of the finished line, wherever in it they came to be: an event, a field, a traceback."""

    def __init__(self, *, foreign_pre_chain: list[Processor], processor: Processor, secrets: Iterable[str]) -> None:
        super().__init__(processor=processor, foreign_pre_chain=foreign_pre_chain)
        written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
        # The longest first: one may be a part of another.
        self._secrets = sorted(written, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return strike_out(super().format(record), self._secrets)


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The trace that the line belongs to, where there is one."""
    found = tracing.trace_id()
    return event if found is None else {**event, "trace_id": found}


def strike_out(line: str, secrets: Iterable[str] = ()) -> str:
    """The line without these secrets, and without what looks like one."""
    for secret in secrets:
        line = line.replace(secret, STRUCK)
    for pattern, instead in PATTERNS:
        line = pattern.sub(instead, line)
    return line
