"""What the service connects to. Whatever can open a connection stands here with its reason, so that a new way out is
looked at: an address that a caller names is connected to through `app.webhooks.connecting` and nowhere else."""

import ast

from tests.contracts.pages import ROOT

#: Packages by which a connection can be opened; those of the database, the broker and the store are further below.
DOORS = {"httpx2", "httpcore2", "http.client", "urllib.request", "requests", "aiohttp", "ftplib", "smtplib", "socket"}
#: file -> why. `distilled/` is the client that users run: it connects to the service they name.
KNOWN = {
    "app/webhooks/addresses.py": "reads old ways of writing an address; connects to nothing",
    "app/webhooks/connecting.py": "the guard: resolves once, looks at what it found, connects to that",
    "app/webhooks/sending.py": "through the guard alone, without proxies or redirects",
    "app/__main__.py": "listens",
    "workers/checking.py": "`distilled doctor`: asks the service that the operator's DISTILLED_URL names",
    "workers/child.py": "the machine's own name",
    "workers/keeper.py": "the machine's own name",
    "workers/identity.py": "the machine's own name",
}
#: Who opens connections to addresses that the operator names in settings.
OPERATORS = {
    "obstore": {"registry/store.py", "registry/testing.py"},
    "redis": {"app/middleware/rates.py", "workers/checking.py"},
    "torchvision": set(),  # data sets by their names in a literal table; workers only
}


def imported(package: str) -> set[str]:
    """Files of the service that import this package, or a module of it."""
    found: set[str] = set()
    for part in ("app", "registry", "workers", "migrations"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
                if any(name == package or name.startswith(f"{package}.") for name in names):
                    found.add(str(path.relative_to(ROOT)))
    return found


def test_nothing_else_opens_a_connection() -> None:
    found = set[str]().union(*map(imported, DOORS))
    assert found == set(KNOWN)


def test_what_settings_name_is_opened_in_one_place() -> None:
    for package, known in OPERATORS.items():
        assert imported(package) - known <= {path for path in imported(package) if path.startswith("workers/distill/")}


def test_what_callers_name_goes_through_the_guard() -> None:
    sending = (ROOT / "app/webhooks/sending.py").read_text(encoding="utf-8")
    assert sending.count("httpcore2.ConnectionPool(") == sending.count("network_backend=backend") == 1
    assert "follow_redirects" not in sending
    assert imported("httpcore2") == {"app/webhooks/sending.py", "app/webhooks/connecting.py"}
