"""Penalties in the loop: added to every objective and parametrization, recorded, resumed, refused where they must."""

import hashlib

import pytest
import torch

from distilled import knobs
from distilled.errors import RecipeError
from distilled.files import open_artifact
from distilled.recipe import check_budget, expand
from tests.contracts.test_knobs import BASE
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import snapshots, starts, teachers
from workers.distill.batches import Draw, RealBatches
from workers.distill.catalog import build
from workers.distill.errors import NotFinite
from workers.distill.events import Finished, Metrics, Preparing, Progress, Snapshot
from workers.distill.loop import facts, run
from workers.distill.objectives.base import OBJECTIVES
from workers.distill.penalties.base import penalty_class
from workers.distill.rng import Rng
from workers.distill.shelf import MemoryShelf

CATALOG = build()
REAL = toy_data()
SHELF = MemoryShelf()
PENALTY = {
    "kind": "architecture_invariance",
    "networks": "convnet2-w4,convnet2-w4-batch",
    "backbone": "convnet2-w4",
    "teacher_epochs": 2,
    "teacher_batch": 20,
}


def events(recipe, **options):
    return list(run(recipe, REAL, code_version="test", **{"shelf": SHELF, **options}))


def digest(recipe, **options):
    finished = events(recipe, **options)[-1]
    assert isinstance(finished, Finished)
    return hashlib.sha256(finished.content).hexdigest()


def one_step(objective, parametrization, penalties):
    """A recipe whose single step is plain gradient descent with rate 1: the parameters tell the gradient."""
    # A warm-up would move the generator before the step; an adversarial loss is that of a generator alone.
    unfit = {"warmup_steps": 0} if objective == "logits" else {}
    unfit |= {"adversarial_weight": 0.0} if (objective, parametrization) == ("logits", "images") else {}
    plain = {"optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "schedule": "constant", "clip": 0.0, "ema": 0.0}
    return expand(
        {
            "dataset": "toy",
            "ipc": 2,
            "steps": 1,
            "parametrization": {"kind": parametrization, **BASE[parametrization], "storage": "float32"},
            "objective": {"kind": objective, **BASE[objective], **plain, **unfit},
            "penalties": penalties,
        },
        CATALOG,
    )


def stepped(recipe):
    return dict(open_artifact(events(recipe)[-1].content).parametrization.named_parameters())


def gradient_of_the_penalty(recipe):
    """What the penalty alone asks of the parameters at the first step."""
    rng, (declared,) = Rng(recipe["seed"]), recipe["penalties"]
    holding = check_budget(recipe, CATALOG, facts(REAL))
    parametrization = starts.begin(recipe, REAL, holding.per_class, rng=rng.child("start"))
    kind = penalty_class(declared["kind"])
    config = knobs.build(kind.Config, {name: value for name, value in declared.items() if name != "kind"})
    penalty = kind(config, space=SPACE, device="cpu", network=None)
    list(penalty.prepare(RealBatches(REAL, device="cpu"), shelf=SHELF))
    penalty.loss(Draw(parametrization), rng=rng.child("step", 0, "penalty", declared["kind"])).backward()
    return {name: parameter.grad for name, parameter in parametrization.named_parameters()}


@pytest.mark.parametrize(
    ("objective", "parametrization"),
    [
        *((kind, "images") for kind in OBJECTIVES),
        ("distribution", "memory"),
        ("distribution", "generator"),
        ("logits", "generator"),
    ],
)
def test_its_gradient_is_added_to_that_of_every_objective_and_on_every_parametrization(objective, parametrization):
    without = stepped(one_step(objective, parametrization, []))
    recipe = one_step(objective, parametrization, [PENALTY])
    alone = gradient_of_the_penalty(recipe)
    assert set(alone) == set(without)
    assert any(gradient.any() for gradient in alone.values())
    for name, value in stepped(recipe).items():
        size = max(1.0, without[name].abs().max().item())
        torch.testing.assert_close(value, without[name] - alone[name], rtol=1e-4, atol=1e-4 * size)


def test_its_terms_are_recorded_and_its_images_counted():
    plain = [event for event in events(toy_recipe("dm", steps=3)) if isinstance(event, Metrics | Progress | Finished)]
    told = events(toy_recipe("dm", steps=3, penalties=[PENALTY]))
    (first, *_), (unpenalised, *_) = ([one for one in some if isinstance(one, Metrics)] for some in (told, plain))
    terms = {f"penalty_{name}" for name in ("variance", "agreement", "position", "teacher_accuracy")}
    assert set(first.values) - set(unpenalised.values) == terms
    added = first.values["penalty_variance"] + first.values["penalty_agreement"]
    assert first.values["loss"] == pytest.approx(unpenalised.values["loss"] + added, rel=1e-4)
    assert told[-1].header["images_seen"] == plain[-1].header["images_seen"] + 3 * 6
    assert told[-1].header["recipe"]["penalties"][0]["kind"] == "architecture_invariance"


@pytest.mark.parametrize("method", ["bptt", "dm", "frepo", "mtt"])
def test_a_resumed_run_ends_in_the_same_bytes(method):
    recipe = toy_recipe(method, penalties=[PENALTY], steps=4)
    kept = [event for event in events(recipe, snapshot_every=2) if isinstance(event, Snapshot)]
    whole = digest(recipe)
    assert whole != digest(toy_recipe(method, steps=4))
    for snapshot in kept:
        # On another machine nothing lies on the shelf: the networks are trained anew, to the same weights.
        assert digest(recipe, resume=snapshots.load(snapshots.dump(snapshot)), shelf=MemoryShelf()) == whole


def test_networks_are_trained_once_for_all_jobs():
    shelf = MemoryShelf()
    told = [
        [event.what for event in events(toy_recipe(method, penalties=[PENALTY], steps=1), shelf=shelf)
         if isinstance(event, Preparing)]
        for method in ("dm", "kip")
    ]  # fmt: skip
    assert set(told[0]) == {teachers.TRAINING}
    assert told[1] == [teachers.LOADING] * 2


@pytest.mark.parametrize(
    ("method", "backbone"), [("dm", "convnet2-w8"), ("frepo", "convnet2-w8"), ("kip", "convnet2-w4-batch")]
)
def test_the_backbone_is_the_network_that_the_objective_looks_through(method, backbone):
    left_open = {**PENALTY, "networks": "convnet2-w4-batch,convnet2-w4", "backbone": ""}
    named = {**left_open, "backbone": backbone}
    one, other = (
        open_artifact(events(toy_recipe(method, penalties=[each], steps=2))[-1].content).parametrization.whole()
        for each in (left_open, named)
    )
    assert torch.equal(one.images_NCHW, other.images_NCHW)


def test_a_penalty_that_weighs_nothing_changes_nothing():
    nothing = {**PENALTY, "weight": 0.0}
    recipe, plain = toy_recipe("dm", penalties=[nothing]), toy_recipe("dm")
    one, other = (open_artifact(events(each)[-1].content).parametrization.whole() for each in (recipe, plain))
    assert torch.equal(one.images_NCHW, other.images_NCHW)


@pytest.mark.parametrize(
    ("penalties", "pointer", "words"),
    [
        ([{"kind": "x"}], "/penalties/0/kind", "must be one of: architecture_invariance"),
        ([{}], "/penalties/0/kind", "must be one of"),
        ([PENALTY, PENALTY], "/penalties/1/kind", "architecture_invariance is named twice"),
        ([{**PENALTY, "weight": -1}], "/penalties/0/weight", "at least 0"),
        ([{**PENALTY, "wait": 1}], "/penalties/0/wait", "unknown option"),
        ([{**PENALTY, "networks": "convnet3,net"}], "/penalties/0/networks", "unknown network 'net'"),
        ([{**PENALTY, "networks": ""}], "/penalties/0/networks", "unknown network ''"),
        ([{**PENALTY, "networks": "convnet3, mlp-w16"}], "/penalties/0/networks", "mlp-w16 has no class-activation"),
        ([{**PENALTY, "backbone": "net"}], "/penalties/0/backbone", "unknown network 'net'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(penalties, pointer, words):
    with pytest.raises(RecipeError) as caught:
        expand({"dataset": "toy", "method": "dm", "ipc": 1, "penalties": penalties}, CATALOG)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert words in caught.value.problems[0].detail


def test_a_backbone_needs_no_map():
    declared = {**PENALTY, "backbone": "mlp-w8"}
    recipe = expand({"dataset": "toy", "method": "dm", "ipc": 1, "penalties": [declared]}, CATALOG)
    assert recipe["penalties"][0]["backbone"] == "mlp-w8"
    assert recipe["penalties"][0]["variance_weight"] == 1.0


@pytest.mark.parametrize("field", ["networks", "backbone"])
def test_networks_that_do_not_fit_the_images_are_refused(field):
    declared = {**PENALTY, field: "convnet2-w4,vgg11" if field == "networks" else "vgg11"}
    recipe = expand({"dataset": "toy", "method": "dm", "ipc": 1, "penalties": [declared]}, CATALOG)
    with pytest.raises(RecipeError) as caught:
        check_budget(recipe, CATALOG, facts(REAL))
    (problem,) = [one for one in caught.value.problems if one.pointer.startswith("/penalties")]
    assert problem.pointer == f"/penalties/0/{field}"
    assert problem.detail.startswith("vgg11 halves the image 5 times")


def test_a_teacher_that_runs_away_names_the_knob():
    wild = {**PENALTY, "teacher_learning_rate": 10.0, "teacher_weight_decay": 1.0, "teacher_epochs": 30}
    with pytest.raises(NotFinite, match=r"lower `architecture_invariance\.teacher_learning_rate`"):
        events(toy_recipe("dm", penalties=[wild]))
