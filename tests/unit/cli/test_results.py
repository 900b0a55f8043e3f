"""The table's rows, the comparison and the lines to paste."""

import os
import shlex
import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest

from distilled.bars import facts_of
from distilled.cli.results import beats_baselines, quickstart_lines, rows_of
from distilled.client import Artifact
from tests.unit.client.service import SCORES, artifact


def test_hard_and_soft_are_rows_of_their_own() -> None:
    assert [name for name, _, _ in rows_of(SCORES)] == [
        "distilled, hard labels",
        "distilled, soft labels",
        "random real images",
        "k-means centroids",
        "full data",
    ]


def test_new_images_at_each_step_are_a_row_with_all_that_a_network_saw() -> None:
    result: dict[str, Any] = deepcopy(SCORES)
    result["distilled"] = {
        "hard": {"mean": 0.6, "std": 0.0, "values": [0.6], "images_seen": 10},
        "fresh": {"mean": 0.9, "std": 0.0, "values": [0.9], "images_seen": 5000},
        "bytes": 64,
        "images": 10,
    }
    rows = {name: (score["mean"], size["images"], size["bytes"]) for name, score, size in rows_of(result)[:2]}
    assert rows == {
        "distilled, hard labels": (0.6, 10, 64),
        "new images each step, hard labels": (0.9, 5000, 64),
    }
    result["centroid"] |= {"mean": 0.8, "std": 0.0}
    assert not beats_baselines(result), "only the fixed set is held against baselines"


@pytest.mark.parametrize(
    ("centroid", "std", "beats"), [(0.8, 0.02, True), (0.88, 0.03, False), (0.895, 0.0, False), (0.95, 0.0, False)]
)
def test_beating_means_by_more_than_either_std(centroid: float, std: float, beats: bool) -> None:
    result: dict[str, Any] = deepcopy(SCORES)
    result["centroid"] |= {"mean": centroid, "std": std}
    assert beats_baselines(result) is beats


@pytest.mark.parametrize("missing", ["distilled", "random", "centroid"])
def test_nothing_beats_what_was_not_measured(missing: str) -> None:
    assert not beats_baselines({name: value for name, value in SCORES.items() if name != missing})


def test_lines_are_whole_shell_commands() -> None:
    lines = dict(quickstart_lines(Artifact.from_json(artifact(ipc=10)), "http://host:81", keyed=True))
    curl = shlex.split(lines["curl"])
    assert curl[0] == "curl"
    assert curl[-1] == "http://host:81/v1/artifacts/art_1/samples?ipc=10&format=npz"
    assert "Authorization: Bearer $DISTILLED_API_KEY" in curl
    python = shlex.split(lines["Python"])
    compile(python[2], "pasted", "exec")
    assert python[1] == "-c"
    assert shlex.split(lines["CLI"])[-2:] == ["--url", "http://host:81"]


def test_the_default_address_needs_no_flag_and_no_key_no_header() -> None:
    lines = dict(quickstart_lines(Artifact.from_json(artifact()), "http://127.0.0.1:8000"))
    assert "--url" not in lines["CLI"]
    assert "Authorization" not in lines["curl"]


def test_a_program_off_the_path_is_called_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    line = dict(quickstart_lines(Artifact.from_json(artifact()), "http://h"))["Python"]
    program = shlex.split(line)[0]
    assert os.path.samefile(os.path.dirname(os.path.abspath(program)), os.path.dirname(sys.executable))


def test_facts_of_a_step() -> None:
    data = {"step": 5, "steps": 10, "loss": 0.03125, "images_per_second": 1234.5, "eta_seconds": 62.4}
    assert facts_of(data) == "step 5/10  loss 0.03125  1,234 images/s  ETA 01:02"
    assert facts_of({"eta_seconds": 3700}) == "ETA 1:01:40"
    assert facts_of({}) == ""


def test_help_loads_neither_torch_nor_numpy_nor_the_http_client() -> None:
    code = (
        "import sys\n"
        "from distilled.cli.main import build\n"
        "try:\n    build()(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded', sorted({'torch', 'numpy', 'httpx2'} & set(sys.modules)))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.splitlines()[-1] == "loaded []"
