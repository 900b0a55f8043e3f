"""What must never stand in our code, what SECURITY.md promises, and what the service is made of."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from tests.contracts.pages import ROOT

PACKAGES = ("app", "registry", "distilled", "workers", "migrations", "benchmarks", "examples")
#: Modules that run what they read.
MODULES = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"})
CALLS = frozenset({"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "yaml.load"})
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in this code may run what a stranger sent."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.endswith(".torch.load"):
                yield name
            for keyword in node.keywords:
                wanted = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if keyword.arg in ("allow_pickle", "shell", "trust_remote_code") and wanted is not False:
                    yield f"{name}({keyword.arg}=…)"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_that_a_stranger_sent_is_ever_run(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {danger}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=given)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "yaml.load(text)",
        "os.system(text)",
        "load_dataset(name, trust_remote_code=True)",
    ],
)
def test_what_is_forbidden_is_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_what_is_allowed_is_let_be() -> None:
    code = "np.load(path, allow_pickle=False); ast.literal_eval(x); yaml.safe_load(x); re.compile(x); model.eval()"
    assert not list(dangers(ast.parse(code)))


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[^`]+)`|\]\(((?!http)[^)]+)\)", PAGE)
    paths = [one or other for one, other in named]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def versions() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {name.lower(): Version(version) for name, _, version in pairs}


def test_no_version_runs_that_has_a_hole_we_know_of() -> None:
    floors = re.findall(r"^\| `([a-z0-9-]+)` \| ([0-9.]+) \| CVE", PAGE, flags=re.MULTILINE)
    assert len(floors) >= 10
    installed = versions()
    assert [(name, floor) for name, floor in floors if installed[name] < Version(floor)] == []


def test_the_bill_of_materials_names_every_version_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    made = [sbom(tmp_path / str(i)) for i in range(2)]
    assert made[0] == made[1]
    document = json.loads(made[0])
    assert document["bomFormat"] == "CycloneDX"
    assert {part["name"].lower(): Version(part["version"]) for part in document["components"]} == versions()
    assert document["metadata"]["component"]["name"] == "distilled"


def sbom(out: Path) -> bytes:
    """As `make sbom` writes it."""
    (recipe,) = re.findall(
        r"python -m (cyclonedx_py .*?) --output-file",
        (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " "),
    )
    command = [sys.executable, "-m", *recipe.split(), "--output-file", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return out.read_bytes()
