"""The worked examples run as a user runs them, against a real service."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from tests.acceptance.service import Service

ROOT = Path(__file__).parents[2]


def run(service: Service, example: str, *arguments: str) -> str:
    environment = {**os.environ, "DISTILLED_URL": service.url, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / example), *arguments]
    done = subprocess.run(
        command, check=False, env=environment, cwd=service.home, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "neither warnings nor bars where nobody looks"
    return done.stdout


def test_a_classifier_is_trained_from_a_stream(service: Service, measured: dict[str, Any]) -> None:
    said = run(service, "train_from_a_stream.py", measured["artifact_id"], "100")
    found = re.fullmatch(r"accuracy (\d+\.\d) % on (\d+) real test images; trained on \S+ alone\n", said)
    assert found, said
    assert float(found[1]) > 50  # chance is 10
    assert int(found[2]) == 359


def test_five_architectures_are_ranked_on_a_distilled_set_and_on_full_data(
    service: Service, measured: dict[str, Any]
) -> None:
    head, *rows, sizes, conclusion = run(
        service, "rank_architectures.py", measured["artifact_id"], "40", "1"
    ).splitlines()
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
