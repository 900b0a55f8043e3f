"""Each command: its JSON, its words, its exit code."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from distilled import __version__
from distilled.cli.main import build
from tests.unit.cli.runner import document, run
from tests.unit.client.service import FakeService, artifact, evaluation, job, problem
from tests.unit.client.test_client import DONE, EVENTS, RUNNING, STEP, stream
from tests.unit.client.test_content import CONTENT, DIGEST, serve

FILE = artifact(evaluation(), digest=DIGEST, bytes=len(CONTENT))


def house() -> FakeService:
    """A service where everything goes well."""
    service = FakeService()
    service.on("POST /v1/jobs", job())
    service.on("GET /v1/jobs", {"items": [job(), job("running", id="job_2")], "next_cursor": None})
    service.on("GET /v1/jobs/job_1", job("succeeded"))
    service.on("POST /v1/jobs/job_1/cancel", job("cancelled"))
    service.on("POST /v1/jobs/job_1/retry", job())
    service.on(EVENTS, stream(RUNNING, STEP, DONE))
    service.on("GET /v1/artifacts", {"items": [artifact()], "next_cursor": None})
    service.on("GET /v1/artifacts/art_1", FILE)
    service.on("GET /v1/artifacts/art_1/content", serve(CONTENT))
    service.on("GET /v1/artifacts/art_1/download", serve(CONTENT))
    service.on("GET /v1/artifacts/art_1/samples", httpx2.Response(200, content=b"batch", headers={"X-Seed": "7"}))
    service.on("PUT /v1/aliases/best", {"name": "best", "artifact_id": "art_1"})
    service.on("DELETE /v1/aliases/best", httpx2.Response(204))
    service.on("GET /v1/datasets", {"items": [{"name": "digits", "shape": [1, 8, 8], "classes": ["0", "1"]}]})
    service.on("POST /v1/datasets", {"name": "mine"})
    service.on("GET /v1/methods", {"items": [{"name": "frepo", "summary": "s", "paper": {"venue": "V", "year": 2022}}]})
    return service


COMMANDS: dict[str, tuple[list[str], Any]] = {
    "submit": (["submit", "--dataset", "digits", "--method", "frepo", "--ipc", "1"], job()),
    "jobs": (["jobs"], [job(), job("running", id="job_2")]),
    "one job": (["jobs", "job_1"], job("succeeded")),
    "cancel": (["cancel", "job_1"], job("cancelled")),
    "retry": (["retry", "job_1", "--fresh"], job()),
    "artifacts": (["artifacts", "--dataset", "digits", "--class", "3", "--sort", "-accuracy"], [artifact()]),
    "one artifact": (["artifacts", "art_1"], FILE),
    "alias": (["alias", "best", "art_1"], {"name": "best", "artifact_id": "art_1"}),
    "no alias": (["alias", "best", "--delete"], {"name": "best", "deleted": True}),
    "datasets": (["datasets"], [{"name": "digits", "shape": [1, 8, 8], "classes": ["0", "1"]}]),
    "methods": (["methods"], {"items": [{"name": "frepo", "summary": "s", "paper": {"venue": "V", "year": 2022}}]}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_the_document_and_nothing_else(name: str) -> None:
    arguments, expected = COMMANDS[name]
    result = run(house(), *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert document(result) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_people_get_words(name: str) -> None:
    result = run(house(), *COMMANDS[name][0])
    assert result.exit_code == 0
    assert result.stdout.strip()
    assert not result.stdout.startswith(("{", "["))


FAILURES = [
    (problem(422, errors=[{"pointer": "/ipc", "detail": "at least 1"}]), 2),
    (problem(401), 2),
    (problem(404), 3),
    (problem(503), 4),
    (httpx2.ConnectError("refused"), 4),
    (problem(409), 5),
    (problem(500), 1),
]
ROUTES = {
    "submit": ("POST /v1/jobs", ["submit", "--dataset", "digits"]),
    "watch": (EVENTS, ["watch", "job_1"]),
    "jobs": ("GET /v1/jobs", ["jobs"]),
    "cancel": ("POST /v1/jobs/job_1/cancel", ["cancel", "job_1"]),
    "retry": ("POST /v1/jobs/job_1/retry", ["retry", "job_1"]),
    "artifacts": ("GET /v1/artifacts", ["artifacts"]),
    "pull": ("GET /v1/artifacts/art_1", ["pull", "art_1"]),
    "sample": ("GET /v1/artifacts/art_1/samples", ["sample", "art_1", "--ipc", "1"]),
    "alias": ("PUT /v1/aliases/best", ["alias", "best", "art_1"]),
    "datasets": ("GET /v1/datasets", ["datasets"]),
    "methods": ("GET /v1/methods", ["methods"]),
}


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("failure", "code"), FAILURES)
def test_each_failure_has_its_exit_code(
    name: str, failure: Any, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    route, arguments = ROUTES[name]
    for flags in ([], ["--json"]):
        again = failure if isinstance(failure, Exception) else problem(failure.status_code, **_about(failure))
        result = run(house().on(route, again), *arguments, *flags)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        if flags:
            assert set(document(result)["error"]) == {"status", "title", "detail", "errors"}
        else:
            assert result.stderr.lstrip().startswith("distilled: ")
    assert list(tmp_path.iterdir()) == []


def _about(failure: httpx2.Response) -> dict[str, Any]:
    return {name: value for name, value in json.loads(failure.content).items() if name in ("errors", "title")}


def test_a_faulty_field_is_named_on_stderr() -> None:
    failure = problem(422, title="The recipe has faults", errors=[{"pointer": "/ipc", "detail": "must be 1 or more"}])
    result = run(house().on("POST /v1/jobs", failure), "submit", "--ipc", "0")
    assert "/ipc: must be 1 or more" in result.stderr
    assert result.stdout == ""


def test_wrong_usage_is_2() -> None:
    assert run(house(), "pull").exit_code == 2
    assert run(house(), "no-such-command").exit_code == 2
    assert run(house(), "pull", "art_1", "--ipc", "3").exit_code == 2
    assert run(house(), "alias", "best").exit_code == 2
    assert run(house(), "sample", "art_1", "--format", "jpeg").exit_code == 2


def test_version_and_help() -> None:
    assert run(house(), "--version").stdout == f"distilled {__version__}\n"
    for flag in ("--help", "-h"):
        shown = run(house(), flag)
        assert shown.exit_code == 0
        assert "Exit codes" in shown.stdout


def test_submit_builds_the_recipe_from_file_flags_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"dataset": "mnist", "ratio": 0.1, "objective": {"kind": "kernel", "width": 32}}))
    flags = ["--recipe", str(path), "--ipc", "10", "--seed", "3", "--steps", "5", "--reuse", "--base", "best"]
    sets = ["--set", "objective.width=64", "--set", "parametrization.labels=soft", "--set", "priority=1"]
    service = house()
    assert run(service, "submit", *flags, *sets).exit_code == 0
    assert json.loads(service.requests[0].content) == {
        "dataset": "mnist",
        "ipc": 10,
        "seed": 3,
        "steps": 5,
        "base_artifact": "best",
        "objective": {"kind": "kernel", "width": 64},
        "parametrization": {"labels": "soft"},
        "priority": 1,
    }
    assert dict(service.requests[0].url.params) == {"reuse": "true"}


def test_settings_reach_into_lists() -> None:
    service = house()
    sets = [
        "penalties.0.kind=architecture_invariance",
        "penalties.0.networks=convnet3,resnet10",
        "penalties.0.weight=2",
    ]
    flags = [
        word for one in [*sets, "evaluation.networks.0=mlp", "evaluation.networks.1=alexnet"] for word in ("--set", one)
    ]
    assert run(service, "submit", "--dataset", "digits", *flags, "--set", "evaluation.networks.0=vgg11").exit_code == 0
    assert json.loads(service.requests[0].content) == {
        "dataset": "digits",
        "penalties": [{"kind": "architecture_invariance", "networks": "convnet3,resnet10", "weight": 2}],
        "evaluation": {"networks": ["vgg11", "alexnet"]},
    }


def test_methods_are_followed_by_the_penalties() -> None:
    penalty = {"kind": "architecture_invariance", "summary": "agree", "paper": {"venue": "arXiv", "year": 2024}}
    service = house().on("GET /v1/methods", {"items": [], "penalties": [penalty]})
    shown = run(service, "methods").stdout
    assert "architecture_invariance" in shown
    assert "arXiv 2024" in shown


def test_classes_that_were_not_tested_are_told() -> None:
    service = house()
    told = {"distilled": {"hard": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.6]}}, "hlr": None, "ior": None}
    service.on("GET /v1/artifacts/art_1", artifact(evaluation(result={**told, "absent": ["wren", "[owl]"]})))
    shown = run(service, "artifacts", "art_1").stdout
    assert "without the classes wren, [owl]: their data are not there any more" in " ".join(shown.split())
    assert "HLR" not in shown


def test_submit_reads_a_recipe_from_stdin() -> None:
    service = house()
    assert run(service, "submit", "--recipe", "-", stdin='{"dataset": "digits"}').exit_code == 0
    assert json.loads(service.requests[0].content) == {"dataset": "digits"}


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["--recipe", "-"], "not json"),
        (["--recipe", "-"], "[1]"),
        (["--recipe", "/no/such/file"], None),
        (["--set", "novalue"], None),
        (["--set", ".a=1"], None),
        (["--dataset", "digits", "--set", "dataset.name=1"], None),
        (["--set", "penalties.1.kind=x"], None),
        (["--set", "penalties=[]", "--set", "penalties.1.kind=x"], None),
        (["--set", "penalties=[]", "--set", "penalties.kind=x"], None),
    ],
)
def test_a_recipe_that_is_none_is_2_and_never_sent(arguments: list[str], stdin: str | None) -> None:
    service = house()
    result = run(service, "submit", *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert service.requests == []


def test_dry_run_shows_the_plan() -> None:
    plan = {"recipe": {"dataset": "digits"}, "ipc": 1, "estimate": {"bytes": 640, "seconds": None, "reason": "new"}}
    service = house().on("POST /v1/jobs", plan)
    assert document(run(service, "submit", "--dataset", "digits", "--dry-run", "--json")) == plan
    assert dict(service.requests[0].url.params) == {"dry_run": "true"}
    assert "bytes: 640" in run(service, "submit", "--dataset", "digits", "--dry-run").stdout


@pytest.mark.parametrize("command", [["watch", "job_1"], ["submit", "--dataset", "digits", "--watch"]])
def test_watching_prints_a_json_line_for_each_event(command: list[str]) -> None:
    result = run(house(), *command, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["state", "progress", "state", "job", "artifact"]
    assert lines[1] == {"id": "2", "event": "progress", "data": {"step": 5, "steps": 10, "loss": 0.5}}
    assert lines[-1]["data"] == FILE
    assert (result.exit_code, result.stderr) == (0, "")


def test_watching_ends_with_the_table_and_lines_to_paste() -> None:
    result = run(house(), "watch", "job_1")
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if "%" not in line]
    for words in (
        ["distilled, hard labels", "90.0", "1.0", "2", "10", "640"],
        ["distilled, soft labels", "92.0", "2.0"],
        ["random real images", "50.0", "5.0"],
        ["k-means centroids", "80.0", "2.0"],
        ["full data", "98.0", "0.1", "2", "1,438", "92,032"],
    ):
        assert any(all(word in row for word in words) for row in rows), words
    assert "HLR +8.0  IOR +42.0" in result.stdout
    assert "convnet3-w64" in result.stdout
    assert "http://127.0.0.1:8000/v1/artifacts/art_1/preview.png" in result.stdout
    assert "curl -f" in result.stdout


def test_watching_without_evaluations_does_not_wait_for_them() -> None:
    service = house().on("GET /v1/artifacts/art_1", artifact(evaluation("queued")))
    assert run(service, "watch", "job_1", "--no-evaluations").exit_code == 0
    assert len(service.asked("GET /v1/artifacts/art_1")) == 1


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_came_to_nothing_is_1(state: str) -> None:
    error = {"code": "diverged", "title": "The loss is not finite", "detail": "lower objective.learning_rate"}
    service = house().on("GET /v1/jobs/job_1", job(state, error=error if state == "failed" else None))
    result = run(service, "watch", "job_1")
    assert result.exit_code == 1
    assert state in result.stdout
    assert ("lower objective.learning_rate" in result.stdout) == (state == "failed")
    assert run(service.on(EVENTS, stream(RUNNING)), "watch", "job_1", "--json").exit_code == 1


def test_pull_writes_the_file_that_the_digest_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(house(), "pull", "art_1", "--json")
    about = {"artifact": "art_1", "path": "art_1.safetensors", "bytes": len(CONTENT), "format": "content"}
    assert document(result) == about
    assert hashlib.sha256((tmp_path / "art_1.safetensors").read_bytes()).hexdigest() == DIGEST


def test_pull_asks_for_a_finished_set(tmp_path: Path) -> None:
    service = house()
    target = tmp_path / "set.npz"
    flags = ["-o", str(target), "--format", "npz", "--ipc", "1", "--classes", "cat,3"]
    assert run(service, "pull", "art_1", *flags).exit_code == 0
    assert target.read_bytes() == CONTENT
    assert dict(service.requests[0].url.params) == {"format": "npz", "ipc": "1", "classes": "cat,3"}


@pytest.mark.parametrize(("format", "suffix"), [("parquet", ".parquet"), ("webdataset", ".tar"), ("arrow", ".arrows")])
def test_pull_names_a_set_after_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    service = house()
    assert run(service, "pull", "art_1", "--format", format).exit_code == 0
    assert (tmp_path / f"art_1{suffix}").read_bytes() == CONTENT
    assert dict(service.requests[0].url.params) == {"format": format}


def test_sample_takes_no_format_that_a_batch_cannot_have_from_the_name(tmp_path: Path) -> None:
    service = house()
    assert run(service, "sample", "art_1", "--count", "1", "-o", str(tmp_path / "batch.parquet")).exit_code == 0
    assert service.requests[0].url.params["format"] == "safetensors"


def test_a_corrupt_pull_is_1_and_leaves_nothing(tmp_path: Path) -> None:
    service = house().on("GET /v1/artifacts/art_1", artifact(digest="1" * 64))
    result = run(service, "pull", "art_1", "-o", str(tmp_path / "a"))
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "sha256" in result.stderr


def test_sample_takes_its_format_from_the_name(tmp_path: Path) -> None:
    service = house()
    target = tmp_path / "batch.npz"
    result = run(service, "sample", "art_1", "--ratio", "0.01", "--seed", "7", "-o", str(target), "--json")
    assert document(result) == {"artifact": "art_1", "path": str(target), "bytes": 5, "format": "npz", "seed": 7}
    assert target.read_bytes() == b"batch"
    asked = {"format": "npz", "ratio": "0.01", "seed": "7", "dtype": "uint8"}
    assert dict(service.requests[0].url.params) == asked


def test_sample_asks_for_mixtures(tmp_path: Path) -> None:
    answer = httpx2.Response(200, content=b"batch", headers={"X-Seed": "7"})
    service = house().on("POST /v1/artifacts/art_1/samples", answer)
    mixes = ["--mix", "3=0.5, 8=.5", "--mix", "a=b=1"]
    result = run(service, "sample", "art_1", *mixes, "--count", "4", "--seed", "7", "-o", str(tmp_path / "batch.npz"))
    assert result.exit_code == 0, result.output
    rows = [{"mix": {"3": 0.5, "8": 0.5}, "count": 4}, {"mix": {"a=b": 1.0}, "count": 4}]
    assert json.loads(service.requests[0].content) == rows
    assert dict(service.requests[0].url.params) == {"format": "npz", "seed": "7", "dtype": "uint8"}


@pytest.mark.parametrize("flags", [["3"], ["=1"], ["3=x"], ["3=nan"], ["3=1,3=2"], ["3=-1"], ["3=1", "--ipc", "1"]])
def test_a_mixture_that_is_none_is_2_and_never_sent(flags: list[str]) -> None:
    service = house()
    assert run(service, "sample", "art_1", "--count", "1", "--mix", *flags).exit_code == 2
    assert service.requests == []


def test_mixtures_need_a_count() -> None:
    result = run(house(), "sample", "art_1", "--mix", "3=1")
    assert result.exit_code == 2
    assert "--count" in result.output


def test_upload_names_the_dataset_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(b"content")
    service = house()
    assert document(run(service, "upload", str(path), "--json")) == {"name": "mine"}
    assert b'name="name"\r\n\r\nmine\r\n' in service.requests[0].content
    assert run(service, "upload", str(tmp_path / "none.npz")).exit_code == 2


def test_url_and_key_are_passed_on() -> None:
    service = house()
    assert run(service, "jobs", "--url", "http://other:1", "--key", "k").exit_code == 0
    assert str(service.requests[0].url).startswith("http://other:1/v1/jobs")
    assert service.requests[0].headers["Authorization"] == "Bearer k"


def test_limit_bounds_the_list() -> None:
    service = house().on("GET /v1/jobs", {"items": [job(id=f"job_{n}") for n in range(5)], "next_cursor": "more"})
    assert len(document(run(service, "jobs", "--limit", "7", "--json"))) == 7


def test_ctrl_c_is_130() -> None:
    def interrupted(request: httpx2.Request) -> httpx2.Response:
        raise KeyboardInterrupt

    assert run(house().on("GET /v1/jobs", interrupted), "jobs").exit_code == 130


def test_without_arguments_there_is_help() -> None:
    assert "Commands" in CliRunner().invoke(build(), []).output
