"""The gradient through inner training is exact, in memory that does not grow with the number of steps."""

import weakref

import pytest
import torch
from torch import nn
from torch.func import functional_call

from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import starts
from workers.distill.batches import Draw, RealBatches
from workers.distill.events import Finished
from workers.distill.loop import run
from workers.distill.objectives import unrolling
from workers.distill.objectives.unrolled import Unrolled
from workers.distill.optimiser import Outer
from workers.distill.rng import Rng

SGD = unrolling.InnerSGD(learning_rate=0.1, momentum=0.9)


class Toy:
    """A two-layer network in float64 that learns `images` (the outer parameters), a few of them a step."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(3)

        def drawn(*shape):
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        self.net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        self.weights = {name: drawn(*value.shape) for name, value in self.net.named_parameters()}
        self.images, self.labels = drawn(6, 4), torch.arange(6) % 3
        self.real, self.real_labels = drawn(9, 4), torch.arange(9) % 3

    def inner(self, images):
        def loss(weights, step):
            chosen = torch.arange(6).roll(step)[:4]
            return nn.functional.cross_entropy(
                functional_call(self.net, dict(weights), (images[chosen],)), self.labels[chosen]
            )

        return loss

    def outer(self, weights):
        return nn.functional.cross_entropy(functional_call(self.net, dict(weights), (self.real,)), self.real_labels)

    def by_graph(self, images, steps):
        still = unrolling.still(self.weights)
        path, _ = unrolling.train(self.weights, still, self.inner(images), steps=steps, sgd=SGD, graph=True)
        return self.outer(path[-1])

    def by_reverse(self, images, steps):
        still = unrolling.still(self.weights)
        path, _ = unrolling.train(self.weights, still, self.inner(images), steps=steps, sgd=SGD)
        last = {name: value.requires_grad_(True) for name, value in path[-1].items()}
        value = self.outer(last)
        adjoint = dict(zip(last, torch.autograd.grad(value, list(last.values())), strict=True))
        found, _ = unrolling.hypergradient(
            path, self.inner(images), adjoint=adjoint, parameters=[images], steps=steps, sgd=SGD
        )
        return unrolling.with_gradients(value, [images], found)


def test_inner_training_is_that_of_torch():
    toy = Toy()
    path, _ = unrolling.train(toy.weights, unrolling.still(toy.weights), toy.inner(toy.images), steps=range(7), sgd=SGD)
    toy.net.load_state_dict(toy.weights)
    optimiser = torch.optim.SGD(toy.net.parameters(), lr=0.1, momentum=0.9)
    for step in range(7):
        optimiser.zero_grad()
        toy.inner(toy.images)(dict(toy.net.named_parameters()), step).backward()
        optimiser.step()
    for name, value in toy.net.named_parameters():
        torch.testing.assert_close(path[-1][name], value.detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [range(1), range(12), range(5, 40)])
def test_the_reverse_pass_equals_autograd_through_the_whole_graph(steps):
    toy = Toy()
    found = []
    for way in (toy.by_graph, toy.by_reverse):
        images = toy.images.clone().requires_grad_(True)
        value = way(images, steps)
        value.backward()
        found.append((value.detach(), images.grad))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-12, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-9, rtol=0)
    assert found[0][1].abs().max() > 1e-3


def test_the_reverse_pass_passes_gradcheck():
    toy = Toy()
    images = toy.images.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: toy.by_reverse(given, range(5)), (images,), atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"networks": 3}, {"augment": "dsa"}, {"window": 3}, {"inner_batch": 1}])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_both_ways_of_the_objective_agree(options, labels):
    found = []
    for reverse in ("graph", "recompute"):
        recipe = _recipe(labels=labels, reverse=reverse, **options)
        parametrization, objective, draw, real = _stage(recipe)
        value = objective.loss(draw, real, rng=Rng(5))
        value.backward()
        found.append((value.detach(), {name: one.grad for name, one in parametrization.named_parameters()}))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=0)
    assert set(found[0][1]) == ({"images_NCHW", "logits_NK"} if labels == "soft" else {"images_NCHW"})
    for name, gradient in found[0][1].items():
        assert gradient.abs().max() > 1e-6
        torch.testing.assert_close(found[1][1][name], gradient, atol=2e-5 * gradient.abs().max().item(), rtol=1e-3)


def test_networks_side_by_side_give_the_mean_of_one_after_the_other():
    parametrization, objective, draw, real = _stage(_recipe(networks=2))
    objective.loss(draw, real, rng=Rng(5)).backward()
    together = parametrization.images_NCHW.grad.clone()
    alone = []
    for r in range(2):
        parametrization, objective, draw, real = _stage(_recipe(networks=1))
        objective.loss(draw, real, rng=_Renamed(Rng(5), r)).backward()
        alone.append(parametrization.images_NCHW.grad)
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2, atol=1e-6, rtol=1e-3)


def test_memory_is_flat_in_the_number_of_inner_steps():
    peaks = {steps: _peak_saved(inner_steps=steps, reverse="recompute") for steps in (2, 16)}
    assert peaks[2] > 0
    assert peaks[16] == peaks[2]
    assert _peak_saved(inner_steps=16, reverse="graph") > 4 * _peak_saved(inner_steps=2, reverse="graph")


def test_a_window_moves_over_the_whole_training_and_counts_what_was_shown():
    _, objective, draw, real = _stage(_recipe(window=2, inner_steps=6))
    ends = {objective._window(rng=Rng(seed)) for seed in range(60)}
    assert ends == {(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)}
    first, end = objective._window(rng=Rng(5))
    objective.loss(draw, real, rng=Rng(5))
    assert draw.images_seen == end * 6
    assert end - first == 2


def test_the_norm_of_a_step_is_clipped_and_the_average_is_stored():
    recipe = _recipe()
    parametrization, _, _, _ = _stage(recipe)
    config = Unrolled.Config(optimiser="sgd", learning_rate=1.0, momentum=0.0, schedule="constant", clip=0.5, ema=0.9)
    parametrization.config = type(parametrization.config)(storage="float32")
    optimiser = Outer(parametrization, config, steps=3)
    began = parametrization.images_NCHW.detach().clone()
    optimiser.begin(0)
    parametrization.images_NCHW.grad = torch.full_like(began, 7.0)
    optimiser.step(0)
    moved = began - parametrization.images_NCHW.detach()
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)
    optimiser.finish()  # decay of the first step: min(0.9, 1/10)
    torch.testing.assert_close(parametrization.images_NCHW.detach(), began - 0.9 * moved, atol=1e-6, rtol=0)


def test_a_resumed_run_with_a_running_average_ends_in_the_same_bytes():
    recipe = _recipe(learning_rate=0.1, ema=0.5, augment="none") | {"steps": 12}
    events = list(run(recipe, toy_data(), code_version="test", snapshot_every=5))
    snapshot = next(event for event in events if type(event).__name__ == "Snapshot")
    again = list(run(recipe, toy_data(), code_version="test", resume=snapshot))
    assert isinstance(again[-1], Finished)
    assert again[-1].content == events[-1].content


class _Renamed(Rng):
    """Network 0 of this stream is network r of the other."""

    def __init__(self, rng, r):
        super().__init__(rng.seed, rng.path)
        self.r = r

    def child(self, *names):
        if names[:1] == ("network",):
            return Rng(self.seed, self.path).child("network", self.r)
        if names[:1] == ("draw",):
            return Rng(self.seed, self.path).child("draw", names[1], self.r)
        return Rng(self.seed, self.path).child(*names)


def _recipe(*, labels="hard", **options):
    objective = {"inner_steps": 6, "network": "convnet1-w4", "real_batch": 24, "inner_learning_rate": 0.1, **options}
    return toy_recipe("bptt", parametrization={"labels": labels}, objective=objective)


def _stage(recipe):
    real = toy_data()
    parametrization = starts.begin(recipe, real, recipe["ipc"], rng=Rng(0))
    options = {name: value for name, value in recipe["objective"].items() if name != "kind"}
    objective = Unrolled(Unrolled.Config(**options), space=real.space, device="cpu", rng=Rng(0))
    return parametrization, objective, Draw(parametrization), RealBatches(real, device="cpu")


def _peak_saved(**options):
    """Most bytes that graphs of one step held at any time."""
    _, objective, draw, real = _stage(_recipe(**options))
    held = {"now": 0, "peak": 0}

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor
            size = tensor.numel() * tensor.element_size()
            held["now"] += size
            held["peak"] = max(held["peak"], held["now"])
            weakref.finalize(self, lambda: held.__setitem__("now", held["now"] - size))

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        objective.loss(draw, real, rng=Rng(5)).backward()
    return held["peak"]
