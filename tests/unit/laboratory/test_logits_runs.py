"""Runs with the objective `logits`: they resume, share their warm-ups, and refuse what cannot work."""

import hashlib

import pytest
import torch
from safetensors.torch import load

from distilled.errors import RecipeError
from distilled.files import open_artifact
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import snapshots, starts
from workers.distill.batches import RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Finished, Metrics, Preparing, Progress, Snapshot
from workers.distill.loop import run
from workers.distill.objectives import warmup
from workers.distill.objectives.adversarial import Adversary
from workers.distill.objectives.logits import LogitMatching
from workers.distill.rng import Rng
from workers.distill.shelf import FolderShelf, MemoryShelf

REAL = toy_data()
GENERATOR = {"width": 4, "latent": 8}
ALONE = {"warmup_steps": 0, "adversarial_weight": 0}
#: Warm-ups on the way are kept every second step.
LONG = {"warmup_steps": 20}


def recipe(*, parametrization=None, **fields):
    return toy_recipe("dim", **{"steps": 4, "parametrization": {**GENERATOR, **(parametrization or {})}} | fields)


def fixed(kind="images", *, objective=None, **fields):
    """A recipe of the same objective with another parametrization, which goes without an adversary."""
    options = {"objective": {**ALONE, **(objective or {})}, "steps": 4} | fields
    return toy_recipe("dim", parametrization={"kind": kind, "storage": "float32"}, **options)


def events(asked, **options):
    return list(run(asked, REAL, code_version="test", **options))


def content(told):
    assert isinstance(told[-1], Finished)
    return told[-1].content


def tensors(asked, **options):
    return load(content(events(asked, **options)))


# -- the run -----------------------------------------------------------------------------------------------------------


def test_a_run_warms_up_and_ends_in_a_generator_of_any_number_of_images():
    told = events(recipe())
    done = [event.done for event in told if isinstance(event, Preparing)]
    assert done == [1, 2, 3, 4]
    points = [event.values for event in told if isinstance(event, Metrics)]
    assert all({"match", "adversarial", "discriminator"} <= set(values) for values in points)
    parametrization = open_artifact(content(told)).parametrization
    assert parametrization.kind == "generator"
    assert parametrization.draw(torch.tensor([0, 1, 2] * 9), rng=None).images_NCHW.shape == (27, 1, 8, 8)
    # Four steps, in each a batch of the generator's and one of the discriminator's; the warm-up is not counted.
    assert open_artifact(content(told)).header["images_seen"] == 4 * (8 + 8)


@pytest.mark.parametrize(
    "asked",
    [
        recipe(),
        recipe(
            objective={"match": "gradients", "network": "convnet1-w4-batch,mlp-w4"}, parametrization={"labels": "soft"}
        ),
        recipe(objective={"match": "features", "warmup_steps": 0, "ema": 0.9}),
        recipe(objective={"match_weight": 0}),
        fixed(),
        fixed("memory"),
    ],
    ids=["logits", "gradients", "features", "adversarial", "images", "memory"],
)
def test_a_resumed_run_ends_in_the_same_bytes(asked):
    whole = events(asked, snapshot_every=1)
    kept = [event for event in whole if isinstance(event, Snapshot)]
    assert [event.step for event in kept] == [1, 2, 3]
    for snapshot in kept[::2]:
        again = events(asked, resume=snapshots.load(snapshots.dump(snapshot)))
        assert hashlib.sha256(content(again)).digest() == hashlib.sha256(content(whole)).digest()


@pytest.mark.parametrize("kind", ["images", "memory"])
@pytest.mark.parametrize("match", ["logits", "features", "gradients"])
def test_fixed_sets_learn_from_a_match_alone(kind, match):
    # One network that lasts and all images in every step: no noise hides the trend.
    quiet = {"match": match, "pool_size": 1, "network_life": 1000, "network_steps": 0, "augment": "none", "batch": 60}
    asked = fixed(kind, objective={**quiet, "learning_rate": 0.02}, steps=25)
    losses = [event.loss for event in events(asked) if isinstance(event, Progress)]
    assert losses[-1] < 0.8 * losses[0]


# -- the warm-up -------------------------------------------------------------------------------------------------------


def warmed_up(asked, shelf):
    """What is told before the first step, as (what, done), and the generator it leaves."""
    made = starts.begin(asked, REAL, None, rng=Rng(asked["seed"]))
    config = LogitMatching.Config(**{name: value for name, value in asked["objective"].items() if name != "kind"})
    objective = LogitMatching(config, space=SPACE, device="cpu", rng=Rng(asked["seed"]))
    told = objective.prepare(RealBatches(REAL, device="cpu"), parametrization=made, shelf=shelf)
    return [(event.what, event.done) for event in told], made


def prepared(asked, shelf):
    return warmed_up(asked, shelf)[0]


FOUND = [(warmup.LOADING, 4)]
MADE = [(warmup.WARMING, done) for done in (1, 2, 3, 4)]


def test_jobs_of_any_seed_precision_and_matching_share_a_warm_up():
    shelf = MemoryShelf()
    assert prepared(recipe(), shelf) == MADE
    assert prepared(recipe(seed=1), shelf) == FOUND
    assert prepared(recipe(parametrization={"storage": "uint8"}), shelf) == FOUND
    soft = {"labels": "soft"}
    assert prepared(recipe(parametrization=soft, objective={"match": "gradients", "batch": 4}), shelf) == FOUND
    assert prepared(recipe(objective={"adversarial_weight": 0}), shelf) == FOUND


@pytest.mark.parametrize(
    "other",
    [
        {"objective": {"warmup_batch": 7}},
        {"objective": {"warmup_learning_rate": 1e-3}},
        {"objective": {"warmup_seed": 1}},
        {"objective": {"discriminator_width": 5}},
        {"objective": {"gradient_penalty": 1.0}},
        {"parametrization": {"width": 5}},
        {"parametrization": {"latent": 9}},
    ],
    ids=str,
)
def test_a_warm_up_that_would_come_out_otherwise_is_another(other):
    shelf = MemoryShelf()
    prepared(recipe(), shelf)
    assert prepared(recipe(**other), shelf) == MADE


def test_a_shared_warm_up_changes_no_byte_of_the_result():
    shelf = MemoryShelf()
    events(recipe(seed=1), shelf=shelf)
    assert content(events(recipe(), shelf=shelf)) == content(events(recipe()))


def test_a_warm_up_has_weights_of_its_own_to_begin_with_and_leaves_parameters_and_running_statistics():
    shelf = MemoryShelf()
    first, found, apart = (
        warmed_up(recipe(seed=seed), where)[1].state_dict()
        for seed, where in ((0, shelf), (1, shelf), (2, MemoryShelf()))
    )
    for name, value in first.items():
        assert torch.equal(value, found[name]), name
        assert torch.equal(value, apart[name]), name
    assert first["net.first_norm.running_mean"].abs().sum() > 0
    begun = warmed_up(recipe(objective={"warmup_steps": 0}), shelf)[1].state_dict()
    assert not torch.equal(begun["net.first.weight"], first["net.first.weight"])


def test_a_running_average_begins_where_the_warm_up_ended():
    still = {"learning_rate": 1e-12, "optimiser": "sgd"}
    plain, averaged = (tensors(recipe(objective={**still, "ema": ema}, steps=1)) for ema in (0.0, 0.9))
    torch.testing.assert_close(averaged["first.weight"], plain["first.weight"], rtol=0, atol=1e-7)


def test_killed_on_its_way_it_goes_on_there_and_ends_in_the_same_bytes(tmp_path):
    asked = recipe(objective=LONG)
    running = run(asked, REAL, code_version="test", shelf=FolderShelf(tmp_path))
    while next(running) != Preparing(what=warmup.WARMING, done=7, total=20):
        pass
    running.close()
    again = events(asked, shelf=FolderShelf(tmp_path))
    assert [event.done for event in again if isinstance(event, Preparing)] == list(range(7, 21)), "6 were kept"
    assert content(again) == content(events(asked))
    # What was kept on the way is gone, and the warm-up is found.
    assert prepared(asked, FolderShelf(tmp_path)) == [(warmup.LOADING, 20)]
    small, large = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert small < 200 < large


def test_a_damaged_warm_up_is_made_anew(tmp_path):
    first = content(events(recipe(), shelf=FolderShelf(tmp_path)))
    (held,) = [path for path in tmp_path.iterdir() if path.stat().st_size > 200]
    bits = bytearray(held.read_bytes())
    bits[-3] ^= 1
    held.write_bytes(bits)
    assert prepared(recipe(), FolderShelf(tmp_path)) == MADE
    assert content(events(recipe(), shelf=FolderShelf(tmp_path))) == first


def test_a_warm_up_that_leaves_the_finite_numbers_says_which_knob_to_lower(monkeypatch):
    true = Adversary.generator_loss
    monkeypatch.setattr(Adversary, "generator_loss", lambda self, *given: true(self, *given) * float("inf"))
    with pytest.raises(NotFinite, match=r"by step 2 of 20 of its warm-up; lower `objective\.warmup_learning_rate`"):
        events(recipe(objective=LONG))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"objective": {"adversarial_weight": 0}}, "/objective/warmup_steps", "there is none: set it to 0"),
        ({"objective": {"warmup_steps": 0}}, "/objective/adversarial_weight", "there is none: set it to 0"),
        ({"objective": {**ALONE, "match_weight": 0}}, "/objective/adversarial_weight", "nothing would be left"),
        (
            {"objective": ALONE, "parametrization": {"kind": "images", "labels": "soft"}},
            "/parametrization/labels",
            "or match `gradients`",
        ),
        ({"objective": ALONE, "selection": {"batches": "importance"}}, "/selection/batches", "use `random` batches"),
        ({"objective": {**ALONE, "network": "convnet2,net"}}, "/objective/network", "unknown network 'net'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(fields, pointer, words):
    with pytest.raises(RecipeError) as caught:
        toy_recipe("dim", **{"parametrization": {"kind": "images"}} | fields)
    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert words in problem.detail


def test_what_can_work_is_not():
    assert (
        recipe(parametrization={"labels": "soft"}, objective={"match": "gradients"})["parametrization"]["kind"]
        == "generator"
    )
    assert fixed("memory")["objective"]["warmup_steps"] == 0
    assert recipe(objective={"network": "convnet1, resnet10"})["objective"]["network"] == "convnet1, resnet10"


def test_a_network_of_several_that_does_not_fit_the_images_is_refused():
    with pytest.raises(RecipeError, match="convnet4 halves the image 4 times"):
        events(recipe(objective={"network": "convnet2-w8,convnet4"}))
