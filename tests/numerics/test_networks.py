"""Networks are the field's, begin as PyTorch's do, and are the same side by side as alone."""

import re

import pytest
import torch
from torch.nn import functional

from workers.distill import networks

CIFAR, MNIST, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)
NORMS = ["instance", "batch", "group", "layer", "none"]


def make(name, shape=DIGITS, *, seed=0, num_classes=10):
    return networks.make(name, space_shape=shape, num_classes=num_classes, rng=torch.Generator().manual_seed(seed))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("convnet3", CIFAR, 320_010),
        ("convnet3", MNIST, 317_706),
        ("convnet3-w128-instance", CIFAR, 320_010),
        ("convnet3-none", CIFAR, 320_010 - 3 * 256),
        ("convnet4", (3, 64, 64), 467_850),
        ("mlp", DIGITS, 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10),
    ],
)
def test_numbers_of_weights(name, shape, count):
    assert sum(parameter.numel() for parameter in make(name, shape).parameters()) == count


@pytest.mark.parametrize(("shape", "features"), [(CIFAR, 2048), (MNIST, 2048), ((3, 28, 28), 1152), (DIGITS, 128)])
def test_features_are_what_the_last_layer_sees(shape, features):
    net, images_NCHW = make("convnet3", shape), noise(2, *shape)
    features_ND = net.features(images_NCHW)
    assert features_ND.shape == (2, features)
    torch.testing.assert_close(net(images_NCHW), net.head(features_ND))


@pytest.mark.parametrize("name", ["convnet3-w16", "mlp-w32"])
def test_weights_come_from_the_generator_alone(name):
    before = torch.get_rng_state()
    one, same, other = make(name), make(name), make(name, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for key, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[key])
    assert not torch.equal(one.head.weight, other.head.weight)


def test_weights_begin_in_pytorchs_default_ranges():
    net = make("convnet3", CIFAR)
    for layer, fan_in in ((net.blocks[0], 27), (net.blocks[4], 1152), (net.head, 2048)):
        bound = fan_in**-0.5
        for tensor in (layer.weight, layer.bias):
            assert tensor.abs().max() <= bound
        assert layer.weight.abs().max() > 0.99 * bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert torch.equal(net.blocks[1].weight, torch.ones(128))


def test_instance_normalisation_is_that_of_each_channel_of_each_image():
    net, images_NCHW = make("convnet1-w4"), noise(3, *DIGITS)
    convolved = functional.conv2d(images_NCHW, net.blocks[0].weight, net.blocks[0].bias, padding=1)
    expected = functional.avg_pool2d(functional.instance_norm(convolved).relu(), 2)
    torch.testing.assert_close(net.features(images_NCHW), expected.flatten(1))


def test_a_one_channel_28_pixel_image_is_seen_as_32_pixels():
    net, images_NCHW = make("convnet3-w4", MNIST), noise(2, *MNIST)
    wider = functional.pad(images_NCHW, (2, 2, 2, 2))
    torch.testing.assert_close(
        net.blocks[0](images_NCHW), functional.conv2d(wider, net.blocks[0].weight, net.blocks[0].bias, padding=1)
    )


@pytest.mark.parametrize("name", [f"convnet2-w8-{norm}" for norm in NORMS] + ["mlp-w16"])
def test_side_by_side_is_one_by_one(name):
    alone = [make(name, seed=r) for r in range(3)]
    together = type(alone[0]).side_by_side([make(name, seed=r) for r in range(3)])
    images_RNCHW, labels_N = noise(3, 5, *DIGITS), torch.arange(5)
    sgd = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
    optimisers = [torch.optim.SGD(net.parameters(), **sgd) for net in alone]
    common = torch.optim.SGD(together.parameters(), **sgd)
    for _ in range(4):
        for net, optimiser, images_NCHW in zip(alone, optimisers, images_RNCHW, strict=True):
            optimiser.zero_grad()
            functional.cross_entropy(net(images_NCHW), labels_N).backward()
            optimiser.step()
        common.zero_grad()
        loss = functional.cross_entropy(together(images_RNCHW).flatten(0, 1), labels_N.repeat(3), reduction="sum") / 5
        loss.backward()
        common.step()
    together.eval()
    expected = torch.stack([net.eval()(images) for net, images in zip(alone, images_RNCHW, strict=True)])
    torch.testing.assert_close(together(images_RNCHW), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_every_normalisation_changes_something(norm):
    others = [make(f"convnet2-w8-{other}")(noise(4, *DIGITS)) for other in NORMS if other != norm]
    mine = make(f"convnet2-w8-{norm}")(noise(4, *DIGITS))
    assert all(not torch.allclose(mine, other) for other in others)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("convnet4", DIGITS, "use depth 3 or less"),
        ("convnet6", MNIST, "use depth 5 or less"),
        ("convnet3-w6-group", DIGITS, "make it a multiple"),
        ("resnet18", DIGITS, "names are such as convnet3, mlp-w128"),
        ("convnet", DIGITS, "no network is named"),
        ("convnet3-w0", DIGITS, "no network is named"),
        ("convnet3\n", DIGITS, "no network is named"),
    ],
)
def test_names_that_do_not_fit_are_refused_alike_by_check_and_make(name, shape, words):
    assert words in networks.check(name, shape)
    with pytest.raises(ValueError, match=re.escape(words)):
        make(name, shape)


def test_names_that_fit():
    for known in networks.PATTERNS.values():
        assert re.match(known["pattern"], known["example"])
        assert networks.check(known["example"], DIGITS) is None
    assert set(networks.PATTERNS) == set(networks.FAMILIES)
    assert networks.check("convnet5", MNIST) is None
