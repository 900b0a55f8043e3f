"""A generator's images by the tensors of its file, its gradients by differences, its statistics by many images."""

import math

import pytest
import torch
from torch.nn import functional

from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.generator import Generator, stored_noise
from tests.unit.laboratory.toys import SPACE, toy_data
from tests.unit.reading.generators import generator
from workers.distill import starts
from workers.distill.rng import Rng

LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def begun(*, width=4, latent=6, seed=0, **options):
    recipe = {"parametrization": {"kind": "generator", "width": width, "latent": latent, **options}}
    recipe |= {"selection": {"start": "random"}, "objective": {"kind": "kernel"}}
    return starts.begin(recipe, toy_data(), None, rng=Rng(seed))


@pytest.mark.parametrize(("side", "kernels"), [(8, [4]), (28, [3, 4, 4])])
def test_images_follow_from_the_stored_tensors_as_the_format_says(side, kernels):
    space = ImageSpace(shape=(1, side, side), mean=(0.4,), std=(0.3,), classes=("cat", "dog"))
    made = generator(space=space, width=3)
    stored = made.stored()

    def normalised(x, name):
        mean, var, scale, shift = (
            stored[f"{name}_norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        shape = (1, -1, *[1] * (x.ndim - 2))
        out = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt() * scale.view(shape) + shift.view(shape)
        return out.clamp_min(0)

    x = torch.cat([torch.tensor([[1.0, 0], [0, 1]]), stored_noise(1, 7)[:, 2:].expand(2, -1)], dim=1)
    x = normalised(x @ stored["first.weight"].T + stored["first.bias"], "first").view(2, 3, 4, 4)
    for i, kernel in enumerate(kernels, start=1):
        up = functional.conv_transpose2d(x, stored[f"up_{i}.weight"], stored[f"up_{i}.bias"], stride=2, padding=1)
        assert up.shape[2] == 2 * x.shape[2] - (kernel == 3)
        x = normalised(up, f"up_{i}")
        names = [f"conv_{i}_{j}" for j in range(1, (3 if i == 1 else 1) + 1)]
        for name in names if i < len(kernels) else names[:-1]:
            conv = functional.conv2d(x, stored[f"{name}.weight"], stored[f"{name}.bias"], padding=1)
            x = normalised(conv, name)
    pixels = (functional.conv2d(x, stored["last.weight"], stored["last.bias"], padding=1).tanh() + 1) / 2
    drawn = made.draw(torch.tensor([0, 1]), rng=None).images_NCHW
    torch.testing.assert_close(drawn, (pixels - 0.4) / 0.3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_every_parameter(training):
    made = begun(width=2, latent=4, labels="soft").double().train(training)
    names = [name for name, _ in made.named_parameters()]
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.made = made

        def forward(self):
            queries = functional.one_hot(torch.tensor([0, 1, 2]), 3)
            return (self.made.make(queries, noise) - wanted).square().mean() + self.made.logits_KK.softmax(1)[0, 0]

    def loss(*values):
        given = {f"made.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Loss(), given, ())

    inputs = tuple(value.detach().clone().requires_grad_(True) for value in made.parameters())
    # A bias before a normalisation has no effect in training: its gradient is nil on both sides.
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    silent = {name for name, value in zip(names, gradients, strict=True) if value.abs().max() < 1e-12}
    assert silent == ({name for name in names if _before_norm(name)} if training else set())


def _before_norm(name):
    return name.endswith(".bias") and "_norm" not in name and name != "net.last.bias"


def test_in_training_a_batch_is_normalised_by_itself_and_a_reader_by_what_is_stored():
    made = begun()
    rng = torch.Generator().manual_seed(0)
    noise, queries = torch.randn(6, 6, generator=rng), functional.one_hot(LABELS, 3)
    all_of_them, some = made.make(queries, noise), made.make(queries[:3], noise[:3])
    assert not torch.allclose(all_of_them[:3], some)
    made.settle(rng=torch.Generator().manual_seed(1))
    made.eval()
    torch.testing.assert_close(made.make(queries, noise)[:3], made.make(queries[:3], noise[:3]))


def test_one_image_alone_can_be_drawn_while_it_is_learnt():
    made = begun(width=8).train()
    made.settle(rng=torch.Generator().manual_seed(1))
    alone = made.draw(torch.tensor([1]), rng=torch.Generator().manual_seed(0)).images_NCHW
    assert alone.isfinite().all()
    alone.sum().backward()
    assert made.net.get_parameter("first.weight").grad.abs().max() > 0


def test_stored_statistics_are_those_of_many_images_of_all_classes():
    made = begun(width=4).double()
    made.train()
    made.draw(torch.zeros(8, dtype=torch.int64), rng=torch.Generator().manual_seed(9))  # of one class alone
    parameters = {name: value.clone() for name, value in made.named_parameters()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distilled.parametrizations.generator.SETTLED_AT_ONCE", 2048)
        made.settle(rng=torch.Generator().manual_seed(1))
    assert made.training
    assert all(torch.equal(value, parameters[name]) for name, value in made.named_parameters())

    rng = torch.Generator().manual_seed(1)
    labels = torch.randperm(2048, generator=rng) % 3
    noise = torch.randn(2048, 6, generator=rng).double()
    latent = torch.cat([functional.one_hot(labels, 3).double(), noise[:, 3:]], dim=1)
    outputs = functional.linear(latent, *(made.net.get_parameter(f"first.{part}") for part in ("weight", "bias")))
    torch.testing.assert_close(made.net.get_buffer("first_norm.running_mean"), outputs.mean(0), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(made.net.get_buffer("first_norm.running_var"), outputs.var(0), rtol=1e-6, atol=1e-8)

    first = {name: value.clone() for name, value in made.net.named_buffers()}
    made.eval()
    made.settle(rng=torch.Generator().manual_seed(1))
    assert not made.training
    for name, value in made.net.named_buffers():
        if value.is_floating_point():
            # In parts of 128 the variance is a little smaller, and nothing is left of what was before.
            torch.testing.assert_close(value, first[name], rtol=0.02, atol=0.02)


def test_images_are_alike_whether_a_batch_or_what_is_stored_normalises_them():
    made = begun(width=8)
    made.settle(rng=torch.Generator().manual_seed(1))
    labels = torch.arange(3).repeat(200)
    learning = made.train().draw(labels, rng=torch.Generator().manual_seed(5)).images_NCHW
    reading = made.eval().draw(labels, rng=torch.Generator().manual_seed(5)).images_NCHW
    assert (learning - reading).abs().mean() < 0.1 * learning.std()


def test_it_starts_as_torch_starts_its_layers():
    made = begun(width=32, latent=50)
    for name, fan_in in (("first", 50), ("up_1", 32 * 16), ("conv_1_1", 32 * 9), ("last", 32 * 9)):
        weight, bound = made.net.get_parameter(f"{name}.weight").detach(), 1 / math.sqrt(fan_in)
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert made.training
    assert (made.net.get_parameter("up_1_norm.weight") == 1).all()
    torch.manual_seed(3)
    again, other = begun(width=32, latent=50), begun(width=32, latent=50, seed=1)
    for name, value in made.named_parameters():
        assert torch.equal(value, again.get_parameter(name))
    assert not torch.equal(made.net.get_parameter("last.weight"), other.net.get_parameter("last.weight"))
    assert isinstance(made, Generator)
    assert made.space == SPACE
