"""Memories under every objective: the loop starts, resumes, stores and evaluates them like any other kind."""

import hashlib
from math import prod

import pytest
import torch

from distilled.files import open_artifact
from distilled.parametrizations.memory import Memory
from distilled.recipe import expand
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import snapshots, starts
from workers.distill.batches import MAX_WHOLE, Draw
from workers.distill.catalog import build
from workers.distill.evaluate import EvaluationConfig, evaluate
from workers.distill.events import Finished, Snapshot
from workers.distill.loop import run
from workers.distill.rng import Rng

METHODS = ["bptt", "dc", "dm", "frepo", "kip", "mtt"]
MEMORY = {"kind": "memory", "bases": 4, "downsample": 2}


def recipe(method="kip", *, parametrization=MEMORY, **fields):
    return toy_recipe(method, **{"parametrization": parametrization, "steps": 4, "ipc": 1} | fields)


def finished(asked, **options):
    told = list(run(asked, toy_data(), code_version="test", **options))
    assert isinstance(told[-1], Finished)
    return told


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_in_the_same_bytes(method):
    asked = recipe(method)
    told = finished(asked, snapshot_every=2)
    (kept,) = [event for event in told if isinstance(event, Snapshot)]
    again = finished(asked, resume=snapshots.load(snapshots.dump(kept)))
    digests = {hashlib.sha256(each[-1].content).hexdigest() for each in (told, again)}
    assert len(digests) == 1


@pytest.mark.parametrize("method", METHODS)
def test_every_objective_moves_bases_and_addresses(method):
    asked = recipe(method, parametrization={**MEMORY, "storage": "float32"})
    start = starts.begin(asked, toy_data(), 10, rng=Rng(0).child("start"))
    end = open_artifact(finished(asked)[-1].content).parametrization
    assert start.per_class == end.per_class == 10  # (1 * 64 * 3 - 4 * 16) // 12
    assert (start.bases_MChw - end.bases_MChw).abs().max() > 1e-5
    assert (start.addresses_KRM - end.addresses_KRM).abs().max() > 1e-5


def test_the_header_says_what_was_asked_and_what_is_stored():
    told = finished(recipe(ipc=2, steps=1))
    header = told[-1].header
    held = open_artifact(told[-1].content).parametrization
    rows = (2 * 64 * 3 - 4 * 16 - 16) // 12
    assert told[0].images_per_class == held.per_class == rows > toy_data().train_counts[0]
    assert header["ipc"] == 2
    floats = 4 * 16 + 16 + rows * 12
    assert header["budget"] == {
        "bytes": 4 * 16 + rows * 12 + 16 * 4,
        "floats": floats,
        "images": rows * 3,
        "ipc_equivalent": floats / prod((3, *SPACE.shape)),
    }
    assert header["budget"]["ipc_equivalent"] <= 2


def test_the_preset_is_the_published_setting():
    filled = expand({"dataset": "digits", "method": "remember-the-past", "ipc": 1}, build())
    memory = {"kind": "memory", "bases": 16, "downsample": 2, "storage": "uint8", "start": "components"}
    assert filled["parametrization"] == memory
    # Theirs: the network sees 32 images of each class in each of 150 steps; 64 real ones of each class judge it.
    inner = {"inner_steps": 150, "inner_batch": 32, "inner_learning_rate": 0.01, "inner_momentum": 0.9}
    outer = {"optimiser": "sgd", "learning_rate": 0.1, "momentum": 0.5, "clip": 2.0, "real_batch": 640}
    assert {name: filled["objective"][name] for name in (*inner, *outer)} == inner | outer
    small = {"kind": "memory", "bases": 4}
    told = finished(toy_recipe("remember-the-past", steps=1, parametrization=small))
    assert told[-1].header["recipe"]["objective"]["optimiser"] == "sgd"
    assert told[-1].header["kind"] == "memory"


def test_components_recall_the_chosen_images_better_than_chance():
    def lost(start):
        made = starts.begin(recipe(parametrization={**MEMORY, "start": start}), toy_data(), 10, rng=Rng(0))
        images = starts.begin(recipe(parametrization={"kind": "images"}), toy_data(), 10, rng=Rng(0)).images_NCHW
        return float(((made.whole().images_NCHW - images).square().mean() / images.square().mean()).detach())

    assert lost("components") < 0.6
    assert lost("xavier") > 0.9


def test_more_rows_than_real_images_start_distinct():
    made = starts.begin(recipe(), toy_data(), 30, rng=Rng(0))
    assert made.per_class == 30
    rows = {tuple(row.tolist()) for row in made.addresses_KRM.detach().flatten(0, 1)}
    assert len(rows) == 90


def test_a_step_sees_a_large_memory_in_part(monkeypatch):
    made = starts.begin(recipe(), toy_data(), 30, rng=Rng(0))
    draw = Draw(made)
    assert len(draw.support(5, rng=Rng(1)).targets) == 90 <= MAX_WHOLE
    monkeypatch.setattr("workers.distill.batches.MAX_WHOLE", 50)
    part = draw.support(5, rng=Rng(1))
    assert torch.bincount(part.targets).tolist() == [16, 16, 16]
    assert len({tuple(image.flatten().tolist()) for image in part.images_NCHW}) == 48
    assert draw.images_seen == 138


def test_what_is_evaluated_is_what_is_stored(monkeypatch):
    content = finished(recipe(steps=1))[-1].content
    seen = []
    whole = Memory.whole
    monkeypatch.setattr(Memory, "whole", lambda self: seen.append(whole(self)) or seen[-1])
    quick = EvaluationConfig(steps=2, epochs=1, repeats=2, batch=16, augment="none")
    told = evaluate(content, toy_data(), network="mlp-w8", config=quick, seed=0)
    stored = open_artifact(content).parametrization
    assert torch.equal(seen[0].images_NCHW, stored.whole().images_NCHW)
    assert told["distilled"]["bytes"] == stored.num_bytes()
    assert told["distilled"]["images"] == 3 * stored.per_class
    # As many bytes of real images: 65 each with their label.
    assert told["random"]["images"] == 3 * (stored.num_bytes() // 3 // 65)
