"""docs/conformance.md names every test of the suite under a promise, and no test that is not there."""

import ast

from tests.contracts.pages import ROOT, quoted, rows

SUITE = ROOT / "tests" / "conformance"


def in_file(file: str) -> set[str]:
    tree = ast.parse((SUITE / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def told() -> dict[str, set[str]]:
    """The tests that the page names, by file."""
    found: dict[str, set[str]] = {}
    for _, cell in rows("conformance.md", head="promise"):
        file = ""
        for word in quoted(cell):
            file = word if word.endswith(".py") else file
            found.setdefault(file, set()).update({word} - {file})
    return found


def test_every_test_keeps_a_promise_of_the_page_and_every_promise_has_a_test() -> None:
    files = {path.name for path in SUITE.glob("test_*.py")}
    assert told() == {file: in_file(file) for file in files}
    assert len(files) > 15


def test_the_suite_knows_nothing_of_the_code() -> None:
    ours = {"app", "registry", "workers", "distilled", "migrations"}
    for path in SUITE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not ours & {name.partition(".")[0] for name in names}, path.name
