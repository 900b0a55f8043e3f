"""Importance in a run: who learns what images cost, when, and that nothing of it depends on being killed."""

import hashlib

import pytest
import torch

from distilled.errors import RecipeError
from distilled.files import open_artifact
from distilled.images import standardise
from distilled.parametrizations.images import Images
from distilled.recipe import expand
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import catalog, selection, snapshots
from workers.distill.batches import Draw, RealBatches, Uniform
from workers.distill.events import Snapshot
from workers.distill.loop import run
from workers.distill.objectives import base
from workers.distill.probe import Probe
from workers.distill.rng import Rng
from workers.distill.selection import importance
from workers.distill.selection.importance import Importance

METHODS = ["bptt", "dm", "dsa", "frepo", "kip"]
#: Their objectives see no single image: a probe looks at `pool` of them.
PROBED = ("dm", "dsa")
CATALOG = catalog.build()


def weighed(method, **fields):
    """A run of importance batches in which some images are looked at and some are not."""
    objective = {"network": "mlp-w16", "real_batch": 4 if method in PROBED else 16}
    chosen = {"batches": "importance", **({"pool": 40} if method in PROBED else {})}
    return toy_recipe(method, steps=12, objective=objective, selection=chosen, **fields)


@pytest.fixture
def eager(monkeypatch):
    """Losses are settled, and a probe is sent, every few steps of a toy run."""
    monkeypatch.setattr(importance, "SETTLE_STEPS", 3)
    monkeypatch.setattr(importance, "SHARE", 60.0)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_in_the_same_bytes(method):
    recipe = weighed(method)
    told = list(run(recipe, toy_data(), code_version="test", snapshot_every=4))
    kept = [event for event in told if isinstance(event, Snapshot)]
    scores = [one.tensors["batches/scores"] for one in kept]
    assert not torch.equal(scores[0], torch.ones(60, dtype=torch.float64)), "chances follow losses by then"
    assert not torch.equal(scores[0], scores[1]), "and go on to"
    for snapshot in kept:
        again = snapshots.load(snapshots.dump(snapshot))
        resumed = list(run(recipe, toy_data(), code_version="test", resume=again))[-1]
        assert hashlib.sha256(resumed.content).digest() == hashlib.sha256(told[-1].content).digest()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", ["dm", "kip"])
def test_each_choice_and_knob_makes_another_set(method):
    def images(**chosen):
        recipe = weighed(method, parametrization={"storage": "float32"})
        recipe["selection"] = {**recipe["selection"], **chosen}
        if chosen.get("batches") == "random":
            recipe["selection"] = {"start": recipe["selection"]["start"], "batches": "random"}
        content = list(run(recipe, toy_data(), code_version="test"))[-1].content
        return open_artifact(content).parametrization.whole().images_NCHW

    changes = [{}, {"batches": "random"}, {"mix": 0.1}, *([{"pool": 7}] if method in PROBED else [])]
    made = [images(**change) for change in changes]
    for i, one in enumerate(made):
        assert not any(torch.equal(one, other) for other in made[:i]), changes[i]


def test_a_probe_is_paid_for_by_the_steps_before_it():
    """With d images drawn and r looked at in a step, a probe goes out when 3 % of (r + 3d) a step come to its cost."""
    real = toy_data(100)
    made = Images(Images.Config(), space=SPACE, images_NCHW=real.train_images_NCHW()[[0, 100, 200]])
    probe = Probe("mlp-w4", space=SPACE, device="cpu")
    sampler = Importance(real, Importance.Config(pool=50), probe=probe)
    batches, draw, sent = RealBatches(real, device="cpu", sampler=sampler), Draw(made), []
    cost = 20 * 3 * 64 + 50
    for step in range(700):
        before = draw.images_seen
        batches.refresh(step, draw, rng=Rng(step))
        sent += [step] if draw.images_seen > before else []
        batches.mixed(280, rng=Rng(step))
        draw.images_seen += 40
    per_step = 280 + 3 * 40
    first = -(-cost * 100 // (3 * per_step))
    assert sent == [first, 2 * first]
    assert len(sent) * cost <= 0.03 * 700 * per_step
    known = sampler.tensors()["losses"].isfinite()
    assert 50 <= int(known.sum()) <= 100


def test_the_probe_finds_the_image_with_the_wrong_label():
    real = toy_data()
    real.train_labels_N[3] = 1  # a `left` among the `right`
    images = standardise(selection.start("centroid")(toy_data(), 1, Rng(0)), mean=SPACE.mean, std=SPACE.std)
    draw = Draw(Images(Images.Config(), space=SPACE, images_NCHW=images))
    everything = torch.arange(60)
    losses = Probe("mlp-w64", space=SPACE, device="cpu").losses(
        everything, RealBatches(real, device="cpu"), draw, rng=Rng(0)
    )
    assert losses.shape == (60,)
    assert int(losses.argmax()) == 3
    assert draw.images_seen == 20 * 3, "what the probe learnt from is counted"


def informed(losses, **options):
    sampler = Importance(toy_data(), Importance.Config(**options))
    sampler.observe(torch.tensor(list(losses)), torch.tensor(list(losses.values())))
    sampler.refresh(0, None, None, rng=Rng(0))
    return sampler


def test_an_image_nobody_looked_at_counts_as_a_mean_one_and_what_was_told_twice_as_the_larger():
    sampler = Importance(toy_data(), Importance.Config(mix=0.5))
    sampler.observe(torch.tensor([4, 9, 4, 2]), torch.tensor([1.0, 2.0, 3.0, 7.0]))
    sampler.observe(torch.tensor([2]), torch.tensor([4.0]))
    sampler.refresh(0, None, None, rng=Rng(0))
    scores = sampler.tensors()["scores"]
    assert scores[[4, 9, 2]].tolist() == [3.0, 2.0, 4.0], "the last word counts"
    assert scores[0] == pytest.approx(3.0)


def test_costly_images_come_more_often():
    sampler = informed({0: 300.0} | dict.fromkeys(range(1, 60), 1.0))
    counts = sum(torch.bincount(sampler.mixed(12, rng=Rng(step))[0], minlength=60) for step in range(20))
    expected = 20 * 12 * sampler.chances()
    assert abs(int(counts[0]) - float(expected[0])) <= 20, "of each stratum no more than one draw off"
    assert counts[0] > 10 * counts[1:].max()


@pytest.mark.parametrize("losses", [{}, {0: 0.0, 1: 0.0}, {0: float("nan")}])
def test_without_a_loss_to_go_by_all_images_are_as_likely(losses):
    sampler = informed(losses) if losses else Importance(toy_data(), Importance.Config())
    torch.testing.assert_close(sampler.chances(), torch.full((60,), 1 / 60, dtype=torch.float64))


def test_whoever_asks_for_all_images_gets_each_once_with_weight_one():
    sampler = informed({0: 5.0, 30: 9.0})
    index, weights = sampler.mixed(60, rng=Rng(0))
    assert sorted(index.tolist()) == list(range(60))
    assert weights.tolist() == [1.0] * 60
    index, weights = sampler.of_class(1, 99, rng=Rng(0))
    assert sorted(index.tolist()) == list(range(20, 40))
    assert weights.tolist() == [1.0] * 20


def test_uniform_batches_weigh_nothing():
    batch = RealBatches(toy_data(), device="cpu").of_class(2, 5, rng=Rng(0))
    assert batch.labels_N.tolist() == [2] * 5
    assert batch.weights_N.tolist() == [1.0] * 5
    values = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(batch.mean(values), values.mean(0)), "to the last bit"


@pytest.mark.parametrize(("method", "meant"), [("kip", "leverage"), ("dm", "sensitivity")])
def test_the_start_by_importance_is_the_one_for_the_objective_and_keeps_its_name(method, meant):
    def last(name):
        return list(run(toy_recipe(method, steps=1, selection={"start": name}), toy_data(), code_version="test"))[-1]

    asked, same = last("importance"), last(meant)
    assert asked.header["recipe"]["selection"]["start"] == "importance"
    one, other = (open_artifact(event.content).parametrization.whole() for event in (asked, same))
    assert torch.equal(one.images_NCHW, other.images_NCHW)


@pytest.mark.parametrize(
    ("chosen", "pointer", "words"),
    [
        ({"batches": "importance", "mix": 0}, "/selection/mix", "above 0"),
        ({"batches": "importance", "mix": 1.5}, "/selection/mix", "at most 1"),
        ({"batches": "importance", "pool": 0}, "/selection/pool", "at least 1 images"),
        ({"mix": 0.5}, "/selection/mix", "unknown option; known are: batches, start"),
        ({"batches": "best"}, "/selection/batches", "must be one of importance, random"),
    ],
)
def test_faults_are_named_with_their_field(chosen, pointer, words):
    with pytest.raises(RecipeError) as caught:
        expand({"dataset": "digits", "method": "dm", "ipc": 1, "selection": chosen}, CATALOG)
    assert words in {problem.pointer: problem.detail for problem in caught.value.problems}[pointer]


def test_options_are_completed_only_for_batches_that_have_them():
    def expanded(chosen):
        return expand({"dataset": "digits", "method": "dm", "ipc": 1, "selection": chosen}, CATALOG)["selection"]

    assert expanded({}) == {"start": "random", "batches": "random"}
    assert expanded({"batches": "importance"}) == {
        "start": "random",
        "batches": "importance",
        "mix": 0.5,
        "pool": 1024,
    }


def test_trajectories_which_meet_no_real_image_are_refused():
    recipe = {"dataset": "digits", "method": "mtt", "ipc": 1, "selection": {"batches": "importance"}}
    with pytest.raises(RecipeError, match="single real images"):
        expand(recipe, CATALOG)


def test_an_objective_whose_loss_takes_no_weights_is_refused(monkeypatch):
    monkeypatch.setattr(base.objective_class("distribution"), "real_losses", None)
    refusing = catalog.build()
    recipe = {"dataset": "digits", "method": "dm", "ipc": 1, "selection": {"batches": "importance"}}
    with pytest.raises(RecipeError, match="use `random` batches") as caught:
        expand(recipe, refusing)
    assert [problem.pointer for problem in caught.value.problems] == ["/selection/batches"]
    assert expand(recipe | {"selection": {}}, refusing)["selection"]["batches"] == "random"


def test_the_sampler_of_a_recipe_is_the_one_it_names():
    made = selection.sampler({"start": "random", "batches": "random"}, toy_data(), device="cpu", probe=None)
    assert type(made) is Uniform
    chosen = {"start": "random", "batches": "importance", "mix": 0.25, "pool": 9}
    made = selection.sampler(chosen, toy_data(), device="cpu", probe=None)
    assert isinstance(made, Importance)
    assert made.config == Importance.Config(mix=0.25, pool=9)
    with pytest.raises(RecipeError, match="at most 1"):
        selection.sampler(chosen | {"mix": 2}, toy_data(), device="cpu", probe=None)
