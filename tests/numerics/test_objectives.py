"""Losses against closed forms and finite differences."""

import math

import pytest
import torch

from distilled.images import standardise
from distilled.parametrizations.images import Images
from tests.unit.laboratory.toys import SPACE, toy_data
from workers.distill import networks, selection
from workers.distill.batches import Draw, RealBatches
from workers.distill.objectives.distribution import DistributionMatching
from workers.distill.objectives.kernel import KernelRegression, regress
from workers.distill.rng import Rng
from workers.distill.shelf import MemoryShelf

REAL = toy_data()


def started(per_class=2, labels="hard"):
    pixels = selection.start("random")(REAL, per_class, Rng(0))
    images = standardise(pixels, mean=SPACE.mean, std=SPACE.std)
    return Images(Images.Config(storage="float32", labels=labels), space=SPACE, images_NCHW=images)


def test_distribution_matching_is_the_sum_over_classes_of_squared_mean_gaps():
    config = DistributionMatching.Config(network="convnet2-w8", real_batch=50, augment="none")
    objective = DistributionMatching(config, space=SPACE, device="cpu", rng=Rng(0))
    made, rng = started(), Rng(5).child("step", 0)
    loss = objective.loss(Draw(made), RealBatches(REAL, device="cpu"), rng=rng)
    net = networks.make("convnet2-w8", space_shape=(1, 8, 8), num_classes=3, rng=rng.child("network").generator())
    by_hand = 0.0
    for k in range(3):  # 50 > 20: every real image of the class takes part, so order does not matter
        real_D = net.features(REAL.train_images_NCHW()[REAL.train_labels_N == k]).mean(0)
        by_hand += (real_D - net.features(made.images_NCHW[2 * k : 2 * k + 2]).mean(0)).square().sum()
    torch.testing.assert_close(loss, by_hand, rtol=1e-4, atol=1e-6)


def test_distribution_matching_of_the_real_images_themselves_is_zero():
    config = DistributionMatching.Config(network="convnet2-w8", real_batch=20, drawn_batch=20)
    objective = DistributionMatching(config, space=SPACE, device="cpu", rng=Rng(0))
    everything = Images(Images.Config(storage="float32"), space=SPACE, images_NCHW=REAL.train_images_NCHW())
    loss = objective.loss(Draw(everything), RealBatches(REAL, device="cpu"), rng=Rng(1))
    assert loss.item() < 1e-8, "the same augmentation must reach both sides"


def test_the_regression_is_the_closed_form_of_ridge_regression():
    generator = torch.Generator().manual_seed(0)
    x_s, x_t = (torch.randn(n, 4, dtype=torch.float64, generator=generator) for n in (6, 9))
    y_s = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    ridge = 0.1
    lam = ridge * (x_s @ x_s.T).trace() / 6
    primal = torch.linalg.solve(x_s.T @ x_s + lam * torch.eye(4, dtype=torch.float64), x_s.T @ y_s)
    dual = regress(x_t @ x_s.T, x_s @ x_s.T, y_s, ridge=ridge)
    torch.testing.assert_close(dual, x_t @ primal, rtol=1e-10, atol=1e-10)


def test_gradients_of_the_regression_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    y_t = torch.randn(5, 2, dtype=torch.float64, generator=generator)
    x_s = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    y_s = torch.randn(3, 2, dtype=torch.float64, generator=generator, requires_grad=True)

    def loss(x, y):
        return (y_t - regress(x_t @ x.T, x @ x.T, y, ridge=0.1)).square().sum()

    assert torch.autograd.gradcheck(loss, (x_s, y_s), atol=1e-7)


@pytest.mark.parametrize("kernel", ["features", "gaussian"])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_kernel_loss_moves_with_every_parameter(kernel, labels):
    config = KernelRegression.Config(kernel=kernel, network="convnet2-w8", pool_size=2, real_batch=30, ridge=1e-3)
    objective = KernelRegression(config, space=SPACE, device="cpu", rng=Rng(0))
    batches, made = RealBatches(REAL, device="cpu"), started(labels=labels)
    list(objective.prepare(batches, parametrization=made, shelf=MemoryShelf()))
    objective.loss(Draw(made), batches, rng=Rng(2)).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_gaussian_kernel_by_hand():
    config = KernelRegression.Config(kernel="gaussian", real_batch=60, ridge=1e-3, bandwidth=2.0)
    objective = KernelRegression(config, space=SPACE, device="cpu", rng=Rng(0))
    batches, made = RealBatches(REAL, device="cpu"), started()
    list(objective.prepare(batches, parametrization=made, shelf=MemoryShelf()))
    loss = objective.loss(Draw(made), batches, rng=Rng(2))
    x_t, x_s = (images.flatten(1).double() for images in (REAL.train_images_NCHW(), made.images_NCHW.detach()))
    scale = 2.0 * (x_t - x_t.mean(0)).square().sum(1).mean()
    k_ts, k_ss = (torch.exp(-torch.cdist(x, x_s).square() / scale) for x in (x_t, x_s))
    one_hot = torch.eye(3, dtype=torch.float64)
    y_t, y_s = one_hot[REAL.train_labels_N] - 1 / 3, one_hot[torch.arange(3).repeat_interleave(2)] - 1 / 3
    inverse = torch.linalg.inv(k_ss + 1e-3 * torch.eye(6, dtype=torch.float64))
    by_hand = 0.5 * (y_t - k_ts @ inverse @ y_s).square().sum(1).mean()
    assert math.isclose(loss.item(), by_hand.item(), rel_tol=1e-3)
