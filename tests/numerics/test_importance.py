"""Batches by importance leave means without bias: exactly, over every draw that can happen."""

from itertools import pairwise, product

import pytest
import torch

from distilled.parametrizations.images import Images
from tests.unit.laboratory.toys import SPACE, toy_data
from workers.distill.batches import Draw, RealBatch, RealBatches
from workers.distill.objectives.distribution import DistributionMatching
from workers.distill.rng import Rng
from workers.distill.selection.importance import ALL, Importance, stratified

REAL = toy_data(2)  # six images, two of each of three classes
LOSSES = torch.tensor([0.1, 3.0, 0.7, 0.0, 12.0, 0.4])


def informed(*, mix=0.3, losses=LOSSES, real=REAL):
    sampler = Importance(real, Importance.Config(mix=mix))
    sampler.observe(torch.arange(len(losses)), losses)
    sampler.refresh(0, None, None, rng=Rng(0))
    return sampler


def outcomes(chances_N, count):
    """(chance, places) of every draw of `count`: each draw's place is piecewise constant in its uniform number."""
    cumulated = chances_N.cumsum(0)
    each = []
    for j in range(count):
        cuts = sorted({0.0, 1.0, *(float(c * count - j) for c in cumulated if 0 < c * count - j < 1)})
        uniform = torch.full((count,), 0.5, dtype=torch.float64)
        pieces = []
        for low, high in pairwise(cuts):
            uniform[j] = (low + high) / 2
            pieces.append((high - low, int(stratified(cumulated, uniform)[j])))
        each.append(pieces)
    for one in product(*each):
        chance = 1.0
        for length, _ in one:
            chance *= length
        yield chance, torch.tensor([place for _, place in one])


@pytest.mark.parametrize("mix", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("k", [ALL, 0, 2])
def test_the_expected_weighted_mean_is_the_full_mean(mix, count, k):
    sampler = informed(mix=mix)
    chances = sampler.chances(k)
    values = torch.randn(len(chances), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = 1 / (len(chances) * chances)
    total, mean = 0.0, torch.zeros(3, dtype=torch.float64)
    for chance, places in outcomes(chances, count):
        batch = RealBatch(
            images_NCHW=values, targets=places, index_N=places, weights_N=weights[places]
        )  # only index and weights are looked at
        total += chance
        mean += chance * batch.mean(values[places])
    assert total == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(mean, values.mean(0), rtol=0, atol=1e-12)


def test_a_draw_varies_no_more_than_independent_draws_do():
    chances = informed(mix=0.3).chances()
    weighted = LOSSES.double() / (6 * chances)
    independent = (chances * (weighted - LOSSES.double().mean()).square()).sum() / 3
    mine = sum(
        chance * (weighted[places].mean() - LOSSES.double().mean()).square() for chance, places in outcomes(chances, 3)
    )
    assert 0 < mine < independent


def test_chances_are_the_mixture_and_weights_are_bounded():
    sampler = informed(mix=0.25)
    scores = LOSSES.double()
    torch.testing.assert_close(sampler.chances(), 0.25 / 6 + 0.75 * scores / scores.sum())
    torch.testing.assert_close(sampler.chances(2), 0.25 / 2 + 0.75 * scores[4:] / scores[4:].sum())
    index, weights = sampler.mixed(4, rng=Rng(3))
    torch.testing.assert_close(weights, 1 / (6 * sampler.chances()[index]), rtol=0, atol=0)
    assert weights.max() <= 1 / 0.25
    index, weights = sampler.of_class(2, 1, rng=Rng(3))
    torch.testing.assert_close(weights, 1 / (2 * sampler.chances(2)[index - 4]), rtol=0, atol=0)


def test_the_gradient_of_distribution_matching_is_without_bias():
    """The loss is a square and has the variance in it; its gradient is linear in the real means and has not."""
    real = toy_data(3)
    objective = DistributionMatching(
        DistributionMatching.Config(network="mlp-w4", real_batch=2, augment="none"),
        space=SPACE,
        device="cpu",
        rng=Rng(0),
    )
    chosen = torch.tensor([0, 3, 6])
    made = Images(Images.Config(storage="float32"), space=SPACE, images_NCHW=real.train_images_NCHW()[chosen])
    losses = torch.tensor([0.1, 2.0, 0.5, 1.0, 1.0, 4.0, 0.0, 0.3, 0.2])

    def gradient(sampler, count):
        made.zero_grad()
        objective.config = DistributionMatching.Config(network="mlp-w4", real_batch=count, augment="none")
        objective.loss(Draw(made), RealBatches(real, device="cpu", sampler=sampler), rng=Rng(1)).backward()
        return torch.cat([parameter.grad.flatten().double() for parameter in made.parameters()])

    class Scripted(Importance):
        def of_class(self, k, count, *, rng):
            places = self.script[k]
            return self.of_classes[k][places], 1 / (3 * self.chances(k)[places])

    scripted = Scripted(real, Importance.Config(mix=0.4))
    scripted.observe(torch.arange(9), losses)
    scripted.refresh(0, None, None, rng=Rng(0))
    expected = torch.zeros_like(gradient(None, 3))
    for draws in product(*(list(outcomes(scripted.chances(k), 1)) for k in range(3))):
        scripted.script = [places for _, places in draws]
        expected += draws[0][0] * draws[1][0] * draws[2][0] * gradient(scripted, 1)
    torch.testing.assert_close(expected, gradient(None, 3), rtol=1e-4, atol=1e-6)  # float32 networks
