"""Class-activation maps against hand-made ones, finite differences and what each family promises of its maps."""

import re

import pytest
import torch
from torch.nn import functional

from workers.distill import networks
from workers.distill.penalties import cams

DIGITS = (1, 8, 8)
#: A tiny network of each family that has maps, with images that are small and still fit.
TINY = {
    "convnet2-w4": DIGITS,
    "convnet2-w4-batch": (1, 28, 28),
    "resnet10-w4": DIGITS,
    "vgg11-w4-batch": (1, 32, 32),
    "alexnet-w8": DIGITS,
    "vit_tiny-d2": (1, 4, 3),
}
LABELS_N = torch.tensor([0, 1, 2, 0])


def make(name, shape, *, seed=0):
    net = networks.make(name, space_shape=shape, num_classes=3, rng=torch.Generator().manual_seed(seed))
    return net.double().eval().requires_grad_(False)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stretched(length, *, times):
    """Linear interpolation of `length` values to so many times as many, by the places of the pixels' middles."""
    matrix = torch.zeros(length * times, length, dtype=torch.float64)
    for i in range(length * times):
        place = min(max((i + 0.5) / times - 0.5, 0), length - 1)
        below = min(int(place), length - 2)
        matrix[i, below] += below + 1 - place
        matrix[i, below + 1] += place - below
    return matrix


def test_grad_cam_by_hand():
    net, images_NCHW = make("convnet1-w5-none", DIGITS), noise(4, *DIGITS).requires_grad_()
    maps_NDhw = functional.conv2d(images_NCHW, net.blocks[0].weight, net.blocks[0].bias, padding=1).relu()
    # Four pixels are pooled to one, and a linear layer makes logits of it: the slope is a quarter of its weight.
    slopes_KD = net.head.weight.view(3, 5, 4, 4).mean((2, 3)) / 4
    signed_Nhw = (slopes_KD[LABELS_N][:, :, None, None] * maps_NDhw).sum(1)
    maps = net.maps(images_NCHW)
    torch.testing.assert_close(maps.maps_NDhw, maps_NDhw)
    torch.testing.assert_close(cams.grad_cam(maps, LABELS_N), signed_Nhw)
    positive_Nhw = signed_Nhw.relu()
    assert positive_Nhw.amax((1, 2)).min() > 0
    expected_NHW = (positive_Nhw - positive_Nhw.amin((1, 2), keepdim=True)) / (
        positive_Nhw.amax((1, 2), keepdim=True) - positive_Nhw.amin((1, 2), keepdim=True)
    )
    torch.testing.assert_close(cams.class_activation(maps, LABELS_N, size=(8, 8)), expected_NHW)


def test_a_residual_network_has_the_map_of_its_last_layers_weights():
    net, images_NCHW = make("resnet10-w4", DIGITS), noise(4, *DIGITS).requires_grad_()
    maps_NDhw = net.blocks(images_NCHW)
    assert maps_NDhw.shape[2:] == (2, 2)
    signed_Nhw = (net.head.weight[LABELS_N][:, :, None, None] / 4 * maps_NDhw).sum(1)
    maps = net.maps(images_NCHW)
    torch.testing.assert_close(cams.grad_cam(maps, LABELS_N), signed_Nhw)
    four = stretched(2, times=4)
    large_NHW = four @ signed_Nhw.relu() @ four.T
    low, high = large_NHW.amin((1, 2), keepdim=True), large_NHW.amax((1, 2), keepdim=True)
    expected_NHW = (large_NHW - low) / (high - low)
    torch.testing.assert_close(cams.class_activation(maps, LABELS_N, size=(8, 8)), expected_NHW)


def test_a_transformers_map_is_the_attention_of_its_class_token():
    net, images_NCHW = make("vit_tiny-d2", (1, 4, 3)), noise(4, 1, 4, 3)
    maps, body = net.maps(images_NCHW), net.body
    assert maps.attention
    assert maps.maps_NDhw.shape == (4, 3, 4, 4)
    assert maps.border == (0, 1, 0, 0)
    patches = functional.pad(images_NCHW, (0, 1, 0, 0)).flatten(2).transpose(1, 2)  # patches of one pixel
    tokens = patches * body.conv_proj.weight.flatten() + body.conv_proj.bias
    tokens = torch.cat([body.class_token.expand(4, 1, 192), tokens], 1) + body.encoder.pos_embedding
    block = body.encoder.layers[1]
    normed = block.ln_1(body.encoder.layers[0](tokens))
    joint = normed @ block.self_attention.in_proj_weight.T + block.self_attention.in_proj_bias
    query, key, _ = joint.unflatten(2, (3, 3, 64)).permute(2, 0, 3, 1, 4)
    weights_NDPP = (query @ key.transpose(2, 3) / 8).softmax(3)
    torch.testing.assert_close(maps.maps_NDhw, weights_NDPP[:, :, 0, 1:].unflatten(2, (4, 4)))
    # It looks at patches and at itself, and at nothing else.
    torch.testing.assert_close(maps.maps_NDhw.sum((2, 3)) + weights_NDPP[:, :, 0, 0], torch.ones(4, 3).double())
    seen_NHW = weights_NDPP[:, :, 0, 1:].mean(1).unflatten(1, (4, 4))[:, :, :3]  # without the border
    low, high = seen_NHW.amin((1, 2), keepdim=True), seen_NHW.amax((1, 2), keepdim=True)
    found_NHW = cams.class_activation(maps, LABELS_N, size=(4, 3))
    torch.testing.assert_close(found_NHW, (seen_NHW - low) / (high - low))


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_the_logits_beside_the_maps_are_the_networks(name, shape):
    net, images_NCHW = make(name, shape), noise(4, *shape).requires_grad_()
    maps = net.maps(images_NCHW)
    torch.testing.assert_close(maps.logits_NK, net(images_NCHW))
    found_NHW = cams.class_activation(maps, LABELS_N, size=shape[1:])
    assert found_NHW.shape == (4, *shape[1:])
    assert found_NHW.min() >= 0
    assert found_NHW.max() <= 1


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_the_gradient_of_a_map_is_that_of_finite_differences(name, shape):
    net, weights_NHW = make(name, shape), noise(4, *shape[1:], seed=2)

    def value(images_NCHW):
        return (cams.class_activation(net.maps(images_NCHW), LABELS_N, size=shape[1:]) * weights_NHW).sum()

    images_NCHW, direction_NCHW = noise(4, *shape).requires_grad_(), noise(4, *shape, seed=1)
    (gradient_NCHW,) = torch.autograd.grad(value(images_NCHW), images_NCHW)
    step_NCHW = 1e-7 * direction_NCHW  # so short that no ReLU and no maximum changes its side on the way
    expected = ((value(images_NCHW + step_NCHW) - value(images_NCHW - step_NCHW)) / 2e-7).item()
    assert (gradient_NCHW * direction_NCHW).sum().item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert name.startswith("vgg") or abs(expected) > 1e-3  # an untrained VGG sees next to nothing of its image


def test_gradcheck_of_the_variance_over_two_networks():
    nets, images_NCHW = [make("convnet1-w2-none", (1, 4, 4), seed=seed) for seed in (3, 4)], noise(1, 1, 4, 4)

    def variance(images_NCHW):
        label_N = torch.tensor([1])
        found = [cams.class_activation(net.maps(images_NCHW), label_N, size=(4, 4)) for net in nets]
        return cams.variance(torch.stack(found))

    assert variance(images_NCHW.clone().requires_grad_()) > 0
    assert torch.autograd.gradcheck(variance, images_NCHW.requires_grad_(), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", ["convnet2-w4", "resnet10-w4", "alexnet-w8"])
def test_what_a_network_adds_around_an_image_is_cut_off_its_map(name):
    narrow, wide = make(name, (1, 28, 28)), make(name, (1, 32, 32))
    wide.load_state_dict(narrow.state_dict())
    images_NCHW = noise(4, 1, 28, 28).requires_grad_()
    whole_NHW = cams.class_activation(wide.maps(functional.pad(images_NCHW, (2, 2, 2, 2))), LABELS_N, size=(32, 32))
    inside_NHW = whole_NHW[:, 2:-2, 2:-2]
    low, high = inside_NHW.amin((1, 2), keepdim=True), inside_NHW.amax((1, 2), keepdim=True)
    found_NHW = cams.class_activation(narrow.maps(images_NCHW), LABELS_N, size=(28, 28))
    seen_N = high.flatten() > 0
    assert seen_N.any()
    torch.testing.assert_close(found_NHW[seen_N], ((inside_NHW - low) / (high - low))[seen_N])


def test_maps_are_scaled_to_the_unit_interval_and_faint_ones_stay_faint():
    map_HW = torch.tensor([[1.0, 3.0], [2.0, 5.0]])
    maps_NHW = torch.stack([map_HW, map_HW * 1e-4, torch.full((2, 2), 7.0), torch.zeros(2, 2)]).requires_grad_()
    found_NHW = cams.normalised(maps_NHW, strength_N=torch.tensor([9.0, 9.0, 7.0, 0.0]))
    unit_HW = torch.tensor([[0.0, 0.5], [0.25, 1.0]])
    expected_NHW = torch.stack([unit_HW, unit_HW * (4e-4 / 0.09), torch.zeros(2, 2), torch.zeros(2, 2)])
    torch.testing.assert_close(found_NHW, expected_NHW)
    (gradient_NHW,) = torch.autograd.grad(found_NHW.square().sum(), maps_NHW)
    assert gradient_NHW.isfinite().all()
    assert gradient_NHW[0].any()
    assert not gradient_NHW[2:].any()


def test_an_image_in_which_nothing_speaks_for_its_class_has_an_empty_map_without_a_gradient():
    net, images_NCHW = make("convnet1-w5-none", DIGITS), noise(4, *DIGITS).requires_grad_()
    with torch.no_grad():
        net.head.weight.copy_(-net.head.weight.abs())
    found_NHW = cams.class_activation(net.maps(images_NCHW), LABELS_N, size=(8, 8))
    assert not found_NHW.any()
    (gradient_NCHW,) = torch.autograd.grad(found_NHW.square().sum(), images_NCHW)
    assert not gradient_NCHW.any()


def test_the_variance_by_hand():
    cams_MNHW = torch.tensor([[[[0.0, 1.0]]], [[[0.5, 1.0]]], [[[1.0, 0.0]]]])
    assert cams.variance(cams_MNHW).item() == pytest.approx((0.5 / 3 + 2 / 9) / 2)
    assert cams.variance(cams_MNHW[:1].expand(3, -1, -1, -1)) == 0


def test_how_far_centres_lie_apart_by_hand():
    left_HW, below_HW = torch.zeros(4, 8), torch.zeros(4, 8)
    left_HW[0, 0] = 0.3  # at (1/8, 1/16) in shares of height and width
    below_HW[3, 0] = below_HW[3, 4] = 1.0  # at (7/8, (1/16 + 9/16) / 2)
    maps_MNHW = torch.stack([left_HW, below_HW])[:, None]
    expected = (0.75 / 2) ** 2 + (0.25 / 2) ** 2
    assert cams.apart(maps_MNHW).item() == pytest.approx(expected)
    assert cams.apart(maps_MNHW[:1].expand(2, -1, -1, -1)) == 0
    empty_MNHW = torch.stack([left_HW, torch.zeros(4, 8)])[:, None].requires_grad_()
    value = cams.apart(empty_MNHW)
    assert value.item() == pytest.approx((0.375 / 2) ** 2 + (0.4375 / 2) ** 2)  # the middle of the image
    assert torch.autograd.grad(value, empty_MNHW)[0].isfinite().all()


def test_families_have_the_maps_that_the_catalog_tells_of():
    for name in ("convnet2-w4", "resnet10-w4", "vgg11-w4", "alexnet-w8", "mlp-w4", "vit_tiny-d1"):
        (told,) = [entry["maps"] for entry in networks.PATTERNS.values() if re.match(entry["pattern"], name)]
        net, images_NCHW = make(name, (1, 32, 32)), noise(1, 1, 32, 32)
        if told == "none":
            with pytest.raises(ValueError, match="has no maps"):
                net.maps(images_NCHW)
        else:
            assert net.maps(images_NCHW).attention is (told == "attention")
