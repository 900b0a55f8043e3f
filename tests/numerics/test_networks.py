"""Networks are the field's, begin as PyTorch's do, and are the same side by side as alone."""

import re

import pytest
import torch
from torch.nn import functional

from workers.distill import networks

CIFAR, MNIST, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)
NORMS = ["instance", "batch", "group", "layer", "none"]
#: Weights by hand, for 3x32x32 images and ten classes. A normalisation has two a channel.
RESNET10 = (
    (27 * 64 + 2 * 64)  # stem; its convolutions have no biases, and so on for the blocks
    + (2 * 9 * 64 * 64 + 4 * 64)
    + sum(9 * half * 2 * half + 9 * (2 * half) ** 2 + half * 2 * half + 6 * 2 * half for half in (64, 128, 256))
    + (512 * 10 + 10)
)
VGG11 = (
    sum(9 * into * out + 3 * out for into, out in ((3, 64), (64, 128), (128, 256), (256, 256), (256, 512)))
    + 3 * (9 * 512 * 512 + 3 * 512)
    + (512 * 10 + 10)
)
ALEXNET = (
    (25 * 3 * 128 + 128)
    + (25 * 128 * 192 + 192)
    + (9 * 192 * 256 + 256)
    + (9 * 256 * 192 + 192)
    + (9 * 192 * 192 + 192)
    + (192 * 4 * 4 * 10 + 10)
)
VIT_TINY = (
    (48 * 192 + 192)  # patches of 4 x 4
    + (192 + 65 * 192)  # class token, and the places of 8 x 8 patches and of it
    + 12 * (4 * 192 + 4 * (192 * 192 + 192) + (192 * 768 + 768) + (768 * 192 + 192))
    + (2 * 192)
    + (192 * 10 + 10)
)


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
        ("resnet10", CIFAR, RESNET10),
        ("resnet10-batch", CIFAR, RESNET10),
        ("resnet18", CIFAR, 11_173_962),
        ("resnet18-batch", CIFAR, 11_173_962),
        ("vgg11", CIFAR, VGG11),
        ("vgg11-w64-batch", CIFAR, VGG11),
        ("vgg11", MNIST, VGG11 - 2 * 64 * 9),
        ("alexnet", CIFAR, ALEXNET),
        ("vit_tiny", CIFAR, VIT_TINY),
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


@pytest.mark.parametrize("name", ["convnet3-w16", "mlp-w32", "resnet10-w4", "alexnet-w4", "vit_tiny-d1"])
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


@pytest.mark.parametrize("name", [f"convnet2-w8-{norm}" for norm in NORMS] + ["mlp-w16", "resnet10-w4-batch"])
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
        ("resnet34", DIGITS, "names are such as convnet3, resnet18, vgg11, alexnet, mlp-w128, vit_tiny"),
        ("vgg11", DIGITS, "it needs 32 pixels a side"),
        ("vgg11-batch", (3, 40, 31), "it needs 32 pixels a side"),
        ("alexnet", (1, 8, 7), "it needs 8 pixels a side"),
        ("resnet18", (1, 9, 1), "it needs 2 pixels a side"),
        ("resnet18-none", DIGITS, "no network is named"),
        ("vit_tiny-d0", DIGITS, "no network is named"),
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
        assert networks.check(known["example"], CIFAR) is None
    assert set(networks.PATTERNS) == set(networks.FAMILIES)
    assert networks.check("convnet5", MNIST) is None
