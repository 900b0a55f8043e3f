"""`distilled evaluate`: what it asks for, what it prints, and the means over networks."""

import json
from typing import Any

import pytest

from tests.unit.cli.runner import document, run
from tests.unit.client.service import SCORES, FakeService, artifact, evaluation, problem

ASK = "POST /v1/artifacts/art_1/evaluations"
QUEUED = evaluation("queued", id="ev_2", network="mlp")
MADE = evaluation()
RECIPE = {"objective": {"kind": "kernel", "network": "convnet3-w64"}}


def measured(network: str, accuracy: float, **more: Any) -> dict[str, Any]:
    hard = {"mean": accuracy, "std": 0.0, "values": [accuracy, accuracy]}
    return evaluation(network=network, id=f"ev_{network}", result={**SCORES, "distilled": {"hard": hard}}, **more)


def service(*later: dict[str, Any]) -> FakeService:
    fake = FakeService().on(ASK, {"items": [MADE, QUEUED], "next_cursor": None})
    return fake.on("GET /v1/artifacts/art_1", *(later or (artifact(MADE, QUEUED),)))


def test_networks_and_options_are_sent_and_their_states_shown() -> None:
    fake = service()
    flags = ["--network", "convnet3-w64", "--network", "mlp", "--set", "repeats=3"]
    shown = run(fake, "evaluate", "art_1", *flags)
    assert shown.exit_code == 0
    assert json.loads(fake.requests[0].content) == {"networks": ["convnet3-w64", "mlp"], "repeats": 3}
    assert "convnet3-w64 succeeded\nmlp queued" in shown.stdout
    assert document(run(fake, "evaluate", "art_1", *flags, "--json")) == [MADE, QUEUED]
    assert len(fake.requests) == 2, "without --wait nothing is waited for"


def test_waiting_ends_with_the_tables_and_the_document() -> None:
    ended = artifact(measured("convnet3-w64", 0.9), measured("mlp", 0.6), measured("vgg11", 0.7), recipe=RECIPE)
    result = run(service(artifact(MADE, QUEUED), ended), "evaluate", "art_1", "--network", "mlp", "--wait")
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "seen (1) unseen (2) all (3)" in rows
    assert "distilled, hard labels 90.0 ± 0.0 65.0 ± 0.0 73.3 ± 0.0" in rows
    assert "full data 98.0 ± 0.1 98.0 ± 0.1 98.0 ± 0.1" in rows
    assert "seen: convnet3-w64" in rows
    assert "unseen: mlp, vgg11" in rows
    assert document(run(service(ended), "evaluate", "art_1", "--network", "mlp", "--wait", "--json")) == ended


@pytest.mark.parametrize(("network", "code"), [("mlp", 1), ("vgg11", 0)])
def test_only_a_failure_of_what_was_asked_for_fails(network: str, code: int) -> None:
    error = {"code": "internal", "title": "t", "detail": "it broke"}
    broken = evaluation("failed", id="ev_2" if network == "mlp" else "ev_9", network=network, error=error)
    result = run(service(artifact(MADE, broken)), "evaluate", "art_1", "--network", "mlp", "--wait")
    assert result.exit_code == code
    assert "it broke" in result.stdout


def test_no_mean_is_shown_of_one_network_and_each_training_has_its_own() -> None:
    one = artifact(measured("mlp", 0.5, config={"repeats": 2}), recipe=RECIPE)
    assert "Mean test accuracy" not in run(service(one), "artifacts", "art_1").stdout
    rows = [measured(network, 0.5, config={"repeats": n, "steps": 9}) for n in (2, 3) for network in ("mlp", "vgg11")]
    shown = run(service(artifact(*rows, recipe=RECIPE)), "artifacts", "art_1").stdout
    assert "Mean test accuracy over networks, %; repeats 2\n" in shown
    assert "Mean test accuracy over networks, %; repeats 3\n" in shown
    assert "seen (" not in shown.replace("unseen (", "")


@pytest.mark.parametrize(("status", "code"), [(422, 2), (404, 3), (409, 5)])
def test_refusals_have_their_exit_codes(status: int, code: int) -> None:
    refused = problem(status, errors=[{"pointer": "/networks/0", "detail": "unknown network 'nonet'"}])
    result = run(service().on(ASK, refused), "evaluate", "art_1", "--network", "nonet")
    assert result.exit_code == code
    assert "/networks/0: unknown network" in result.stderr


def test_a_network_is_required() -> None:
    assert run(service(), "evaluate", "art_1").exit_code == 2
