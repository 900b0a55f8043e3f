"""The worked examples, word for word, against a real service: one as a person starts it, and the other in this process,
as importing torch again costs most.
"""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from tests.acceptance.service import Service

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[..., str]


@pytest.fixture
def run(quick: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`python examples/<name> <arguments>`, and what it prints. Nothing but results: no bar where nobody looks."""
    monkeypatch.setenv("DISTILLED_URL", quick.url)

    def example(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    return example


def test_a_classifier_is_trained_from_a_stream(quick: Service, artifact_id: str) -> None:
    command = [sys.executable, "-m", "examples.train_from_a_stream", artifact_id, "100"]
    around = os.environ | {"DISTILLED_URL": quick.url}
    done = subprocess.run(command, cwd=EXAMPLES.parent, env=around, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    found = re.fullmatch(r"accuracy (\d+\.\d) % on (\d+) real test images; trained on \S+ alone\n", said)
    assert found, said
    assert float(found[1]) > 50  # chance is 10
    assert int(found[2]) == 359


def test_five_architectures_are_ranked_on_a_distilled_set_and_on_full_data(run: Run, artifact_id: str) -> None:
    head, *rows, sizes, conclusion = run("rank_architectures.py", artifact_id, "40", "1").splitlines()
    assert head.split() == ["architecture", "distilled", "%", "full", "data", "%"]
    assert len({row.split()[0] for row in rows}) == len(rows) == 5
    distilled, full = ([float(row.split()[column]) for row in rows] for column in (1, 2))
    assert max(distilled) > 50
    assert max(full) > 80
    assert re.search(r"distilled: 10 images, .* full data: 1299 images, .*\(1 networks each\)", sizes)
    told = float(conclusion.removeprefix("Spearman's rank correlation "))
    assert -1 <= told <= 1
    # Rounded accuracies may tie where the exact ones do not.
    assert abs(told - float(spearmanr(distilled, full).statistic)) < 0.11
