"""The adversarial game: the gradient penalty in closed form, both losses by hand, and what the discriminator is."""

import pytest
import torch
from torch import nn

from distilled.images import standardise
from distilled.parametrizations.base import Batch, ImageSpace
from tests.unit.laboratory.toys import SPACE
from workers.distill import discriminator
from workers.distill.objectives.adversarial import Adversary, Rules, discriminator_loss, gradient_penalty
from workers.distill.rng import Rng


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def adversary(*, weight=10.0, width=4, rate=0.01):
    rules = Rules(width=width, gradient_penalty=weight)
    return Adversary(rules, learning_rate=rate, space=SPACE, device="cpu", rng=Rng(3))


def batch(seed, labels=(0, 1, 2, 1)):
    images_NCHW = noise(len(labels), 1, 8, 8, seed=seed, dtype=torch.float32)
    return Batch(images_NCHW=images_NCHW, targets=torch.tensor(labels))


# -- the gradient penalty ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_how_far_its_weights_are_from_the_unit_sphere(length):
    weights_CHW = noise(1, 4, 4)
    weights_CHW *= length / weights_CHW.norm()
    found = gradient_penalty(
        lambda x: (x * weights_CHW).sum((1, 2, 3)),
        noise(5, 1, 4, 4, seed=1),
        noise(5, 1, 4, 4, seed=2),
        shares_N=torch.rand(5, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
    )
    torch.testing.assert_close(found.item(), (length - 1) ** 2)


def test_the_penalty_is_taken_image_by_image_between_its_real_and_its_generated_end():
    real_NCHW, drawn_NCHW = noise(3, 2, 4, 4, seed=1), noise(3, 2, 4, 4, seed=2)
    shares_N = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    found = gradient_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real_NCHW, drawn_NCHW, shares_N=shares_N)
    # The gradient of |x|^2 / 2 is x itself.
    between = [real_NCHW[0], 0.7 * real_NCHW[1] + 0.3 * drawn_NCHW[1], drawn_NCHW[2]]
    torch.testing.assert_close(found, sum((x.norm() - 1) ** 2 for x in between) / 3)


def test_the_penalty_moves_the_critic_with_the_gradient_of_finite_differences():
    ends = noise(3, 1, 3, 3, seed=1), noise(3, 1, 3, 3, seed=2)
    shares_N = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)

    def penalty(weights_CHW):
        return gradient_penalty(lambda x: (x * weights_CHW).sum((1, 2, 3)).tanh(), *ends, shares_N=shares_N)

    assert torch.autograd.gradcheck(penalty, noise(1, 3, 3).requires_grad_())


# -- the losses --------------------------------------------------------------------------------------------------------


def test_the_discriminators_loss_by_hand():
    scores = {0.0: (1.0, [0.0, 0.0, 0.0]), 1.0: (4.0, [2.0, 0.0, 0.0]), 2.0: (-3.0, [0.0, 1.0, 0.0])}

    def judge(x_N):
        found = [scores[x] for x in x_N.tolist()]
        return torch.tensor([score for score, _ in found]), torch.tensor([logits for _, logits in found])

    loss = discriminator_loss(
        judge, (torch.tensor([0.0, 1.0]), torch.tensor([2, 0])), (torch.tensor([2.0, 2.0]), torch.tensor([1, 0]))
    )
    e = torch.tensor(1.0).exp()
    of_real = (torch.tensor(3.0).log() + (1 + 2 * (-2 * torch.ones(())).exp()).log()) / 2
    of_drawn = ((e + 2).log() - 1 + (e + 2).log()) / 2
    torch.testing.assert_close(loss, -3.0 - 2.5 + of_real + of_drawn)


def test_the_generators_loss_by_hand_leaves_no_gradient_in_the_discriminator():
    made, drawn = adversary(), batch(1)
    images_NCHW = drawn.images_NCHW.requires_grad_()
    loss = made.generator_loss(images_NCHW, drawn.targets)
    loss.backward()
    assert images_NCHW.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in made.net.parameters())
    with torch.no_grad():
        scores_N, logits_NK = made.net(2 * (images_NCHW * 0.25 + 0.3) - 1)
        by_hand = -scores_N.sum() / 4 - logits_NK.log_softmax(1)[range(4), drawn.targets].sum() / 4
    torch.testing.assert_close(loss.detach(), by_hand)


def test_a_step_of_the_discriminator_by_hand():
    made, twin = adversary(), adversary()
    real, drawn = batch(1), batch(2, labels=(2, 2, 0, 1))
    shares_N = torch.rand(4, generator=Rng(5).generator())
    ends = [2 * (one.images_NCHW * 0.25 + 0.3) - 1 for one in (real, drawn)]
    parts = [twin.net(end) for end in ends]
    wanted = parts[1][0].mean() - parts[0][0].mean()
    wanted = wanted + sum(
        nn.functional.cross_entropy(logits, one.targets) for (_, logits), one in zip(parts, (real, drawn), strict=True)
    )
    wanted = wanted + 10 * gradient_penalty(lambda x: twin.net(x)[0], *ends, shares_N=shares_N)
    optimiser = torch.optim.Adam(twin.net.parameters(), lr=0.01, betas=(0.0, 0.9))
    wanted.backward()
    optimiser.step()
    found = made.learn(real, drawn, rng=Rng(5))
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for one, other in zip(made.net.parameters(), twin.net.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_playing_on_it_learns_to_tell_both_sides_apart_and_to_name_the_classes():
    made = adversary(width=8)
    real, drawn = batch(1), batch(2)
    losses = [made.learn(real, drawn, rng=Rng(step)) for step in range(40)]
    assert losses[-1] < losses[0] - 1
    with torch.no_grad():
        scores_N, logits_NK = made.net(made._signs(real.images_NCHW))
        assert scores_N.mean() > made.net(made._signs(drawn.images_NCHW))[0].mean() + 0.5
    assert logits_NK.argmax(1).tolist() == real.targets.tolist()


def test_it_goes_on_from_its_tensors_as_if_nothing_had_been():
    made, other = adversary(), adversary()
    for step in range(3):
        made.learn(batch(step), batch(step + 9), rng=Rng(step))
    other.restore({name: value.clone() for name, value in made.tensors().items()})
    assert made.learn(batch(7), batch(8), rng=Rng(7)) == other.learn(batch(7), batch(8), rng=Rng(7))
    assert all(torch.equal(value, other.tensors()[name]) for name, value in made.tensors().items())


# -- the discriminator -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "wanted"),
    [
        (8, [1, 1, 1, 2]),
        (16, [1, 2, 1, 1, 1, 2]),
        (28, [1, 2, 1, 2, 1, 1, 1, 2]),
        (32, [1, 2, 1, 2, 1, 1, 1, 2]),
        (64, [1, 2, 1, 2, 1, 2, 1, 1, 1, 2]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_its_depth_follows_the_images_down_to_four_pixels(side, wanted, channels):
    assert discriminator.strides(side) == wanted
    space = ImageSpace(shape=(channels, side, side), mean=(0.5,) * channels, std=(0.2,) * channels, classes=("a", "b"))
    made = discriminator.make(space, width=2, rng=Rng(0))
    images_NCHW = noise(3, channels, side, side, dtype=torch.float32)
    assert made.body(images_NCHW).shape == (3, 2, 4, 4)
    scores_N, logits_NK = made(images_NCHW)
    assert (scores_N.shape, logits_NK.shape) == ((3,), (3, 2))


def test_no_image_sees_another():
    made = discriminator.make(SPACE, width=4, rng=Rng(0))
    images_NCHW = noise(3, 1, 8, 8, dtype=torch.float32)
    together = made(images_NCHW)
    alone = [made(images_NCHW[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together[0], torch.cat([scores for scores, _ in alone]))
    torch.testing.assert_close(together[1], torch.cat([logits for _, logits in alone]))


def test_it_sees_black_as_minus_one_and_white_as_one():
    pixels_NCHW = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    images_NCHW = standardise(pixels_NCHW, mean=SPACE.mean, std=SPACE.std)
    torch.testing.assert_close(adversary()._signs(images_NCHW)[:, 0, 0, 0], torch.tensor([-1.0, 0.0, 1.0]))
