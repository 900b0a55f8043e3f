"""Trajectory matching: loss and gradients by hand, with and without what `tesla` leaves out; experts that are kept."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from tests.numerics.test_unrolled import Toy
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import starts
from workers.distill.batches import Draw, RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Finished, Preparing
from workers.distill.loop import run
from workers.distill.objectives import unrolling
from workers.distill.objectives.trajectory import TrajectoryMatching
from workers.distill.rng import Rng
from workers.distill.shelf import FolderShelf, MemoryShelf

REAL = toy_data()


# -- the gradient, in float64 ------------------------------------------------------------------------------------------


def by_reverse(toy, *, steps, momentum, through_weights=True):
    """Gradients in the images and in the logarithm of the step size, by the reverse pass."""
    images = toy.images.clone().requires_grad_(True)
    sgd = unrolling.InnerSGD(learning_rate=0.1, momentum=momentum)
    path, _ = unrolling.train(toy.weights, unrolling.still(toy.weights), toy.inner(images), steps=range(steps), sgd=sgd)
    last = {name: value.requires_grad_(True) for name, value in path[-1].items()}
    adjoint = dict(zip(last, torch.autograd.grad(toy.outer(last), list(last.values())), strict=True))
    (found,), rate = unrolling.hypergradient(
        path,
        toy.inner(images),
        adjoint=adjoint,
        parameters=[images],
        steps=range(steps),
        sgd=sgd,
        through_weights=through_weights,
    )
    return found, rate


def by_graph(toy, *, steps, momentum, cut=False):
    """The same by autograd through a training written out; `cut`: gradients are taken at weights without a past."""
    images = toy.images.clone().requires_grad_(True)
    log_rate = torch.tensor(math.log(0.1), dtype=torch.float64, requires_grad=True)
    weights = {name: value.clone().requires_grad_(True) for name, value in toy.weights.items()}
    buffers = unrolling.still(weights)
    for step in range(steps):
        at = {name: value.detach().requires_grad_(True) for name, value in weights.items()} if cut else weights
        slopes = torch.autograd.grad(toy.inner(images)(at, step), list(at.values()), create_graph=True)
        buffers = {name: momentum * buffers[name] + slope for name, slope in zip(at, slopes, strict=True)}
        weights = {name: value - log_rate.exp() * buffers[name] for name, value in weights.items()}
    return torch.autograd.grad(toy.outer(weights), [images, log_rate])


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_gradient_in_the_step_size_is_that_of_the_whole_graph(steps, momentum):
    for found, wanted in zip(
        by_reverse(Toy(), steps=steps, momentum=momentum), by_graph(Toy(), steps=steps, momentum=momentum), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
        assert wanted.abs().max() > 1e-3


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_without_the_way_through_the_weights_it_is_the_gradient_of_a_cut_graph(steps):
    found = by_reverse(Toy(), steps=steps, momentum=0.0, through_weights=False)
    for one, wanted in zip(found, by_graph(Toy(), steps=steps, momentum=0.0, cut=True), strict=True):
        torch.testing.assert_close(one, wanted, rtol=0, atol=1e-10)


def test_what_is_left_out_is_nothing_for_one_step_and_something_for_ten():
    for steps in (1, 10):
        exact, _ = by_reverse(Toy(), steps=steps, momentum=0.0)
        cut, _ = by_reverse(Toy(), steps=steps, momentum=0.0, through_weights=False)
        if steps == 1:
            assert torch.equal(exact, cut)
        else:
            assert (exact - cut).norm() > 0.05 * exact.norm()


# -- the objective -----------------------------------------------------------------------------------------------------

SMALL = {
    "network": "convnet1-w4",
    "synthetic_steps": 4,
    "inner_learning_rate": 0.05,
    "augment": "none",
    "experts": 2,
    "expert_epochs": 3,
    "max_start_epoch": 1,
    "match_epochs": 1,
    "expert_batch": 30,
    "expert_learning_rate": 0.1,
}


def recipe(*, labels="hard", storage="float32", seed=0, steps=6, **options):
    parametrization = {"labels": labels, "storage": storage}
    return toy_recipe("mtt", seed=seed, steps=steps, parametrization=parametrization, objective={**SMALL, **options})


def stage(**options):
    """An objective that is prepared, and what its loss needs."""
    asked = recipe(**options)
    parametrization = starts.begin(asked, REAL, asked["ipc"], rng=Rng(0))
    config = {name: value for name, value in asked["objective"].items() if name != "kind"}
    made = TrajectoryMatching(TrajectoryMatching.Config(**config), space=REAL.space, device="cpu", rng=Rng(0))
    batches = RealBatches(REAL, device="cpu")
    list(made.prepare(batches, parametrization=parametrization, shelf=MemoryShelf()))
    return parametrization, made, Draw(parametrization), batches


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_loss_and_its_gradients_by_hand(labels):
    parametrization, objective, draw, batches = stage(labels=labels)
    value = objective.loss(draw, batches, rng=Rng(5))
    value.backward()
    expert, epoch = objective._choose(rng=Rng(5).child("expert"))
    began, goal = (objective.experts.weights(expert, at) for at in (epoch, epoch + 1))
    net, log_rate = objective.experts.network(rng=Rng(9)), torch.tensor(math.log(0.05), requires_grad=True)
    weights = {name: start.clone().requires_grad_(True) for name, start in began.items()}
    whole = parametrization.whole()  # a batch of 2 a class is all there is, in whatever order
    for _ in range(4):
        logits_NK = functional_call(net, weights, (whole.images_NCHW[None],))[0]
        loss = nn.functional.cross_entropy(logits_NK, whole.targets)
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        weights = {n: old - log_rate.exp() * g for (n, old), g in zip(weights.items(), slopes, strict=True)}
    above, below = (sum((one[n] - goal[n]).square().sum() for n in goal) for one in (weights, began))
    learnt = list(parametrization.parameters())
    wanted = torch.autograd.grad(above / below, [*learnt, log_rate])
    torch.testing.assert_close(value.detach(), (above / below).detach(), rtol=1e-4, atol=0)
    found = [*(parameter.grad for parameter in learnt), objective.log_step_size.grad.float()]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4 * other.abs().max().item())
    assert len(learnt) == (2 if labels == "soft" else 1)
    assert draw.images_seen == 4 * 6


def test_both_ways_back_agree_for_one_step_alone():
    for steps, agree in ((1, True), (8, False)):
        found = []
        for reverse in ("exact", "tesla"):
            parametrization, objective, draw, batches = stage(synthetic_steps=steps, reverse=reverse)
            objective.loss(draw, batches, rng=Rng(5)).backward()
            found.append(parametrization.images_NCHW.grad)
        assert torch.equal(*found) == agree


@pytest.mark.parametrize("reverse", ["exact", "tesla"])
def test_memory_does_not_grow_with_the_number_of_steps(reverse):
    def peak(steps):
        held = {"now": 0, "peak": 0}

        class Kept:
            def __init__(self, tensor):
                self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
                held["now"] += self.size
                held["peak"] = max(held["peak"], held["now"])

            def __del__(self):
                held["now"] -= self.size

        _, objective, draw, batches = stage(synthetic_steps=steps, reverse=reverse)
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            objective.loss(draw, batches, rng=Rng(5)).backward()
        return held["peak"]

    assert peak(12) == peak(2) > 0


def test_the_step_size_stays_positive_whatever_pulls_at_it():
    _, objective, _, _ = stage(step_size_rate=1.0)
    sizes = []
    for _ in range(20):
        objective.log_step_size.grad = torch.full_like(objective.log_step_size, 1e6)
        objective.after_step(None, None, rng=Rng(0))
        sizes.append(objective.log_step_size.exp().item())
    assert all(0 < after < before for before, after in zip([0.05, *sizes], sizes, strict=False))


def test_the_step_size_learns_where_it_was_too_small():
    _, objective, draw, batches = stage(inner_learning_rate=0.001, step_size_rate=0.1)
    for step in range(5):
        objective.loss(draw, batches, rng=Rng(step))
        objective.after_step(draw, batches, rng=Rng(step))
    assert objective.log_step_size.exp().item() == pytest.approx(0.001 * math.exp(0.5), rel=0.05)


@pytest.mark.parametrize(
    ("options", "knob"),
    [
        ({"inner_learning_rate": 10.0, "synthetic_steps": 60}, "inner_learning_rate"),
        ({"expert_learning_rate": 10.0, "expert_momentum": 0.99, "expert_epochs": 30}, "expert_learning_rate"),
    ],
)
def test_what_leaves_the_finite_numbers_says_which_knob_to_lower(options, knob):
    wild = recipe(steps=5, network="convnet1-w4-none", **options)  # without a normalisation to catch it
    with pytest.raises(NotFinite, match=f"lower `objective.{knob}"):
        list(run(wild, REAL, code_version="test"))


def test_a_step_size_beyond_all_bounds_is_told_in_the_same_words():
    _, objective, draw, batches = stage()
    objective.log_step_size.fill_(1000)
    with pytest.raises(NotFinite, match=r"at a step size of inf; lower `objective\.inner_learning_rate`"):
        objective.loss(draw, batches, rng=Rng(0))


# -- experts -----------------------------------------------------------------------------------------------------------


def told(shelf, **options):
    """What was prepared, as (what, done), each once; and the artifact."""
    events = list(run(recipe(**options), REAL, code_version="test", shelf=shelf))
    prepared = [(event.what, event.done) for event in events if isinstance(event, Preparing)]
    assert isinstance(events[-1], Finished)
    return list(dict.fromkeys(prepared)), events[-1].content


ALONE = [("training experts", 0), ("training experts", 1), ("training experts", 2)]
FOUND = [("loading experts", 1), ("loading experts", 2)]


def test_a_second_job_trains_none_whatever_its_own_seed():
    shelf = MemoryShelf()
    assert told(shelf)[0] == ALONE
    assert told(shelf, seed=1)[0] == FOUND
    assert told(shelf, experts=1, max_start_epoch=0, storage="uint8")[0] == FOUND[:1]
    assert told(shelf, expert_seed=1)[0] == ALONE


@pytest.mark.parametrize("knob", ["network", "expert_epochs", "expert_batch", "expert_learning_rate", "expert_augment"])
def test_experts_that_would_come_out_otherwise_are_others(knob):
    other = {"network": "convnet1-w8", "expert_epochs": 4, "expert_batch": 20, "expert_augment": "none"}
    shelf = MemoryShelf()
    told(shelf, experts=1)
    assert told(shelf, experts=1, **{knob: other.get(knob, 0.05)})[0] == ALONE[:2]


def test_shared_experts_change_no_byte_of_the_result():
    shelf = MemoryShelf()
    told(shelf, seed=1)
    assert told(shelf)[1] == told(None)[1]


def test_a_killed_job_goes_on_with_the_next_expert_and_ends_in_the_same_bytes(tmp_path):
    running = run(recipe(), REAL, code_version="test", shelf=FolderShelf(tmp_path))
    while next(running) != Preparing(what="training experts", done=1, total=2):
        pass
    next(running)  # some way into the second
    running.close()
    prepared, content = told(FolderShelf(tmp_path))
    assert prepared == [("loading experts", 1), ("training experts", 1), ("training experts", 2)]
    assert content == told(None)[1]


def test_a_damaged_expert_is_trained_anew(tmp_path):
    _, content = told(FolderShelf(tmp_path))
    first, second = sorted(tmp_path.iterdir())
    bits = bytearray(first.read_bytes())
    bits[-3] ^= 1
    first.write_bytes(bits)
    second.write_bytes(second.read_bytes()[:-10])
    prepared, again = told(FolderShelf(tmp_path))
    assert {what for what, _ in prepared} == {"training experts"}
    assert again == content


def test_an_expert_is_what_torch_would_train():
    _, objective, _, batches = stage(experts=1, expert_augment="none", expert_momentum=0.5)
    net = objective.experts.network(rng=Rng(0).child("expert", 0).child("network"))
    for name, value in objective.experts.weights(0, 0).items():
        assert torch.equal(value, dict(net.named_parameters())[name])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
    for epoch in range(2):
        for batch in batches.epoch(30, rng=Rng(0).child("expert", 0).child("order", epoch)):
            optimiser.zero_grad()
            logits_NK = functional_call(net, {}, (batch.images_NCHW[None],))[0]
            nn.functional.cross_entropy(logits_NK, batch.targets).backward()
            optimiser.step()
        for name, value in objective.experts.weights(0, epoch + 1).items():
            torch.testing.assert_close(value, dict(net.named_parameters())[name].detach(), rtol=1e-5, atol=1e-7)
