"""Gradient matching against closed forms, finite differences and the state that a snapshot has to keep."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from distilled.images import standardise
from distilled.parametrizations.images import Images
from tests.unit.laboratory.toys import SPACE, toy_data
from workers.distill import networks
from workers.distill.batches import Draw, RealBatches, Uniform
from workers.distill.objectives import gradient
from workers.distill.objectives.distances import distance
from workers.distill.objectives.gradient import GradientMatching
from workers.distill.rng import Rng
from workers.distill.selection.random import start

REAL = toy_data()
BATCHES = RealBatches(REAL, device="cpu")


def images(per_class=2, labels="hard"):
    chosen = standardise(start(REAL, per_class, Rng(0)), mean=SPACE.mean, std=SPACE.std)
    return Images(Images.Config(storage="float32", labels=labels), space=SPACE, images_NCHW=chosen)


def objective(**options):
    options = {"network": "convnet2-w8", "real_batch": 20, "augment": "none", **options}
    return GradientMatching(GradientMatching.Config(**options), space=SPACE, device="cpu", rng=Rng(0))


class Linear(nn.Module):
    """A linear classifier with all weights at zero: every class is as likely, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images_NCHW):
        return self.head(images_NCHW.flatten(1))


@pytest.fixture
def linear(monkeypatch):
    monkeypatch.setattr(gradient.networks, "make", lambda *_, **__: Linear())


def class_means(made):
    """Mean image of each class, real and synthetic, [K, D]."""
    real = [REAL.train_images_NCHW()[REAL.train_labels_N == k].flatten(1).mean(0) for k in range(3)]
    drawn = made.images_NCHW.flatten(1).unflatten(0, (3, -1)).mean(1)
    return torch.stack(real), drawn


@pytest.mark.parametrize("kind", ["rows", "cosine", "mse"])
def test_a_linear_network_has_a_closed_form(linear, kind):
    # At equal chances the gradient of class k in the weights is (1/K - e_k) x_mean^T, and in the bias 1/K - e_k.
    made = images()
    value = objective(distance=kind).loss(Draw(made), BATCHES, rng=Rng(1))
    value.backward()
    found, made = made.images_NCHW.grad, images()
    real_KD, drawn_KD = class_means(made)
    squared = 2 / 3  # of 1/K - e_k
    if kind == "rows":
        wanted = 3 * (1 - functional.cosine_similarity(real_KD, drawn_KD)).sum()
    elif kind == "mse":
        wanted = squared * (real_KD - drawn_KD).square().sum()
    else:  # the bias is one more coordinate, 1 on both sides
        one_K1 = torch.ones(3, 1)
        both = (torch.cat([means_KD, one_K1], dim=1) for means_KD in (real_KD, drawn_KD))
        wanted = (1 - functional.cosine_similarity(*both)).sum()
    wanted.backward()
    torch.testing.assert_close(value.detach(), wanted.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, made.images_NCHW.grad, rtol=1e-3, atol=1e-6)


def layers(*, seed=0, requires_grad=False):
    rng = torch.Generator().manual_seed(seed)
    shapes = ((4, 3, 2, 2), (4,), (2, 5), (2,))
    made = [torch.randn(*shape, dtype=torch.float64, generator=rng) for shape in shapes]
    return [layer.requires_grad_(requires_grad) for layer in made]


def test_the_distance_of_rows_by_hand():
    found, wanted = layers(seed=1), layers(seed=2)
    by_hand = 0.0
    for f, w in ((found[0], wanted[0]), (found[2], wanted[2])):  # biases have no direction, but a sign
        for f_row, w_row in zip(f.flatten(1), w.flatten(1), strict=True):
            by_hand += 1 - (f_row @ w_row) / (f_row.norm() * w_row.norm())
    torch.testing.assert_close(distance(found, wanted, kind="rows"), by_hand, rtol=1e-6, atol=0)


def test_rows_know_directions_and_nothing_else():
    wanted = layers()
    scaled = [7 * layer for layer in wanted]
    assert distance(scaled, wanted, kind="rows").item() == pytest.approx(0, abs=1e-12)
    assert distance(scaled, wanted, kind="mse").item() > 1
    turned = [-layer for layer in wanted]
    assert distance(turned, wanted, kind="rows").item() == pytest.approx(2 * (4 + 2), rel=1e-5)
    assert distance(turned, wanted, kind="cosine").item() == pytest.approx(2, rel=1e-5)
    biased = [wanted[0], -wanted[1], wanted[2], -wanted[3]]
    assert distance(biased, wanted, kind="rows").item() == pytest.approx(0, abs=1e-12)
    assert distance(biased, wanted, kind="cosine").item() > 0.01
    assert distance(biased, wanted, kind="mse").item() > 0.01


@pytest.mark.parametrize("kind", ["rows", "cosine", "mse"])
def test_equal_gradients_have_no_distance(kind):
    assert distance(layers(), layers(), kind=kind).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["rows", "cosine", "mse"])
def test_the_distance_passes_gradcheck(kind):
    wanted, found = layers(seed=1), layers(seed=2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *given: distance(given, wanted, kind=kind), tuple(found), atol=1e-7)


def test_a_row_that_vanishes_counts_nothing_and_stays_finite():
    wanted, found = layers(seed=1), layers(seed=2)
    whole = distance(found, wanted)
    with torch.no_grad():
        found[2][0] = 0
    row = 1 - functional.cosine_similarity(layers(seed=2)[2][:1], wanted[2][:1])[0]
    for layer in found:
        layer.requires_grad_(True)
    left = distance(found, wanted)
    torch.testing.assert_close(left, whole - row, rtol=1e-5, atol=0)
    left.backward()
    assert all(layer.grad.isfinite().all() for layer in found if layer.ndim > 1)


def test_the_real_images_themselves_are_at_no_distance_under_the_same_augmentation():
    everything = Images(Images.Config(storage="float32"), space=SPACE, images_NCHW=REAL.train_images_NCHW())
    for seed in range(4):
        loss = objective(augment="dsa").loss(Draw(everything), BATCHES, rng=Rng(seed))
        assert loss.item() < 1e-4, "the same operation and parameters must reach both sides of a class"


def test_each_class_sees_an_augmentation_of_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr(gradient, "augment", lambda given, *, rng, **_: seen.append(rng.initial_seed()) or given)
    objective(augment="dsa").loss(Draw(images()), BATCHES, rng=Rng(1))
    assert seen[0::2] == seen[1::2], "one draw for both sides"
    assert len(set(seen)) == 3, "and one for each class"


@pytest.mark.parametrize("kind", ["rows", "cosine", "mse"])
def test_soft_labels_are_learnt_with_the_images(kind):
    made = images(labels="soft")
    objective(distance=kind).loss(Draw(made), BATCHES, rng=Rng(1)).backward()
    assert made.images_NCHW.grad.abs().max() > 0
    assert made.logits_NK.grad.abs().max() > 0


def test_a_network_is_trained_between_its_matchings_and_then_replaced():
    matching, draw, weights = objective(matchings=3, network_steps=2), Draw(images()), []
    for step in range(6):
        rng = Rng(0).child("step", step)
        matching.loss(draw, BATCHES, rng=rng)
        weights.append(next(matching._held[0].parameters()).detach().clone())
        matching.after_step(draw, BATCHES, rng=rng.child("after"))
        assert bool(matching.tensors()) == (step % 3 != 2)
    assert len({float(one.sum()) for one in weights}) == 6
    moved = [(after - before).norm().item() for before, after in pairwise(weights)]
    assert max(moved[0], moved[1], moved[3], moved[4]) < 0.2 * moved[2], "a fresh network is elsewhere"


@pytest.mark.parametrize(("per_class", "matchings"), [(1, 1), (2, 2), (10, 10)])
def test_the_published_schedule_matches_a_network_once_for_each_image_of_a_class(per_class, matchings):
    draw = Draw(images(per_class))
    assert objective(matchings=0)._matchings(draw) == matchings
    assert objective(matchings=7)._matchings(draw) == 7


def test_a_training_step_on_the_synthetic_set_is_that_of_torch():
    matching, made = objective(matchings=2, network_steps=1), images()
    matching.loss(Draw(made), BATCHES, rng=Rng(3))
    before = [value.detach().clone() for value in matching._held[0].parameters()]
    matching.after_step(Draw(made), BATCHES, rng=Rng(4))
    after = [value.detach().clone() for value in matching._held[0].parameters()]
    net = matching._held[0]
    for value, old in zip(net.parameters(), before, strict=True):
        value.data.copy_(old)
    wanted = torch.autograd.grad(
        functional.cross_entropy(net(made.images_NCHW), torch.arange(6) // 2), net.parameters()
    )
    for old, new, slope in zip(before, after, wanted, strict=True):
        torch.testing.assert_close(new, old - 0.01 * slope, rtol=1e-4, atol=1e-7)


def test_batch_normalisations_take_the_statistics_of_mixed_real_images():
    matching = objective(network="convnet2-w8-batch", real_batch=20)
    matching.loss(Draw(images(per_class=1)), BATCHES, rng=Rng(3))
    net = matching._held[0]
    norm = next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))
    mixed = BATCHES.mixed(16 * 3, rng=Rng(3).child("statistics")).images_NCHW
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    seen = first(mixed).transpose(0, 1).flatten(1)
    assert not norm.training
    torch.testing.assert_close(norm.running_mean, seen.mean(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var, seen.var(1), rtol=1e-4, atol=1e-6)


def test_a_sampler_that_prefers_some_images_has_no_say_in_the_statistics():
    class Partial(Uniform):
        def mixed(self, count, *, rng):
            raise AssertionError("the statistics are of images as all are likely")

    net = networks.make("convnet1-w4-batch", space_shape=SPACE.shape, num_classes=3, rng=Rng(1).generator())
    real = toy_data()
    gradient._settle_statistics(net, RealBatches(real, device="cpu", sampler=Partial(real)), classes=3, rng=Rng(3))
    (norm,) = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norm.running_mean.abs().sum() > 0
