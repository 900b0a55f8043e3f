"""Each family of networks is what its paper says, begins as it should, trains, and can be differentiated twice."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from tests.unit.laboratory.toys import toy_data
from workers.distill import networks

DIGITS = (1, 8, 8)
#: A tiny network of each family, with images that are small and still fit.
TINY = {
    "convnet2-w4": DIGITS,
    "convnet2-w4-batch": DIGITS,
    "resnet10-w4": DIGITS,
    "resnet18-w4-batch": DIGITS,
    "vgg11-w4": (1, 32, 32),
    "vgg11-w4-batch": (1, 32, 32),
    "alexnet-w8": DIGITS,
    "mlp-w16": DIGITS,
    "vit_tiny-d1": (1, 4, 4),
}
LABELS_N = torch.tensor([0, 1, 2, 0])


def make(name, shape, *, seed=0):
    return networks.make(name, space_shape=shape, num_classes=3, rng=torch.Generator().manual_seed(seed))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient_norm(net, weights, images_NCHW, *, graph=False):
    """The squared norm of the loss's gradient in the weights: what gradient matching and unrolling differentiate."""
    loss = functional.cross_entropy(functional_call(net, weights, (images_NCHW,)), LABELS_N.to(images_NCHW.device))
    return sum(part.square().sum() for part in torch.autograd.grad(loss, list(weights.values()), create_graph=graph))


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_the_gradient_of_a_gradient_is_that_of_finite_differences(name, shape):
    net = make(name, shape).double()
    weights = {key: value.detach().requires_grad_() for key, value in net.named_parameters()}
    images_NCHW, direction_NCHW = noise(4, *shape), noise(4, *shape, seed=1)
    seen_NCHW = images_NCHW.clone().requires_grad_()
    (gradient_NCHW,) = torch.autograd.grad(gradient_norm(net, weights, seen_NCHW, graph=True), seen_NCHW)
    step_NCHW = 1e-8 * direction_NCHW  # so short that no ReLU and no maximum changes its side on the way
    ahead, behind = (gradient_norm(net, weights, images_NCHW + sign * step_NCHW) for sign in (1, -1))
    expected = ((ahead - behind) / 2e-8).item()
    assert expected != 0
    assert (gradient_NCHW * direction_NCHW).sum().item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_differentiates_twice_as_a_cpu_does():
    for name, shape in TINY.items():
        net, images_NCHW, found = make(name, shape).double(), noise(4, *shape), []
        for device in ("cpu", "cuda"):
            net, seen_NCHW = net.to(device), images_NCHW.to(device).requires_grad_()
            value = gradient_norm(net, dict(net.named_parameters()), seen_NCHW, graph=True)
            found.append(torch.autograd.grad(value, seen_NCHW)[0].cpu())
        torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_thirty_steps_on_a_dozen_images_are_learnt_from(name, shape):
    real = toy_data(4)
    images_NCHW = functional.interpolate(real.images_NCHW(real.train_bytes_NHWC), size=shape[1:], mode="area")
    net = make(name, shape)
    rate = {"alexnet-w8": 0.1, "vit_tiny-d1": 0.002}.get(name, 0.01)
    optimiser = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(net(images_NCHW), real.train_labels_N)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    right_N = net.eval()(images_NCHW).argmax(1) == real.train_labels_N
    assert right_N.float().mean() > 0.6


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_a_pass_draws_nothing_and_only_batches_differ_in_evaluation(name, shape):
    net, images_NCHW, before = make(name, shape), noise(4, *shape).float(), torch.get_rng_state()
    with torch.no_grad():
        trained_NK, evaluated_NK = net.train()(images_NCHW), net.eval()(images_NCHW)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(trained_NK, evaluated_NK, rtol=1e-4, atol=1e-5) is not name.endswith("-batch")


@pytest.mark.parametrize(("name", "shape"), TINY.items())
def test_no_weight_is_left_as_the_memory_was(name, shape):
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(3).isnan().all()
        assert all(tensor.isfinite().all() for tensor in make(name, shape).state_dict().values())
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ["convnet3-w4", "resnet10-w4", "resnet18-w4-batch", "vgg11-w4", "alexnet-w4"])
def test_one_channel_of_28_pixels_is_seen_as_32(name):
    narrow, wide = make(name, (1, 28, 28)), make(name, (1, 32, 32))
    wide.load_state_dict(narrow.state_dict())
    images_NCHW = noise(2, 1, 28, 28).float()
    torch.testing.assert_close(narrow(images_NCHW), wide(functional.pad(images_NCHW, (2, 2, 2, 2))))


@pytest.mark.parametrize(
    ("name", "filters", "sides", "pooled"),
    [
        ("vgg11", [64, 128, 256, 256, 512, 512, 512, 512], [3] * 8, [0, 1, 3, 5, 7]),
        ("alexnet", [128, 192, 256, 192, 192], [5, 5, 3, 3, 3], [0, 1, 4]),
        ("alexnet-w8", [8, 12, 16, 12, 12], [5, 5, 3, 3, 3], [0, 1, 4]),
    ],
)
def test_convolutions_are_the_papers(name, filters, sides, pooled):
    layers = [layer for layer in make(name, (3, 32, 32)).blocks if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == filters
    assert [layer.kernel_size[0] for layer in convolutions] == sides
    before = [layers[i - 1] for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert [convolutions.index(layer) for layer in before] == pooled


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("side", "strides"), [(32, (1, 2, 2, 2)), (8, (1, 2, 2, 1)), (5, (1, 2, 2, 1)), (2, (1,) * 4)])
def test_a_resnet_is_sums_of_blocks_and_shortcuts(norm, side, strides):
    net, images_NCHW = make(f"resnet10-w3-{norm}", (3, side, side)).double(), noise(2, 3, side, side)

    def normed(input_NCHW, layer):
        if norm == "batch":
            return functional.batch_norm(input_NCHW, None, None, layer.weight, layer.bias, training=True)
        return functional.instance_norm(input_NCHW, weight=layer.weight, bias=layer.bias)

    seen = normed(functional.conv2d(images_NCHW, net.blocks[0].weight, padding=1), net.blocks[1]).relu()
    for block, stride in zip(net.blocks[3:], strides, strict=True):
        inner = normed(functional.conv2d(seen, block.conv1.weight, stride=stride, padding=1), block.bn1).relu()
        inner = normed(functional.conv2d(inner, block.conv2.weight, padding=1), block.bn2)
        if block.downsample is not None:
            seen = normed(functional.conv2d(seen, block.downsample[1].weight, stride=stride), block.downsample[2])
        seen = (inner + seen).relu()
    torch.testing.assert_close(net.features(images_NCHW), seen.mean((2, 3)))


def test_no_narrow_convolution_strides():
    # Its backward pass corrupts memory on CPUs; here it would end the process.
    for name, shape in TINY.items():
        for layer in make(name, shape).modules():
            assert not (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.stride != (1, 1)), name


def test_a_vit_is_attention_among_patches():
    net, images_NCHW = make("vit_tiny-d1", (3, 12, 10)).double(), noise(2, 3, 12, 10)
    body, block = net.body, net.body.encoder.layers[0]
    attention = block.self_attention
    padded = functional.pad(images_NCHW, (1, 1, 0, 0))
    patches = padded.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(2, 36, 12)
    places = patches @ body.conv_proj.weight.flatten(1).T + body.conv_proj.bias
    seen = torch.cat([body.class_token.expand(2, 1, 192), places], 1) + body.encoder.pos_embedding
    normed = functional.layer_norm(seen, (192,), block.ln_1.weight, block.ln_1.bias, eps=1e-6)
    joint = (normed @ attention.in_proj_weight.T + attention.in_proj_bias).unflatten(2, (3, 3, 64))
    query, key, value = joint.permute(2, 0, 3, 1, 4)
    mixed = ((query @ key.transpose(2, 3) / 8).softmax(3) @ value).transpose(1, 2).flatten(2)
    seen = seen + attention.out_proj(mixed)
    normed = functional.layer_norm(seen, (192,), block.ln_2.weight, block.ln_2.bias, eps=1e-6)
    seen = seen + block.mlp[3](functional.gelu(block.mlp[0](normed)))
    expected_ND = functional.layer_norm(seen, (192,), body.encoder.ln.weight, body.encoder.ln.bias, eps=1e-6)[:, 0]
    torch.testing.assert_close(net.features(images_NCHW), expected_ND)


@pytest.mark.parametrize(("side", "patch", "tokens"), [(32, 4, 65), (28, 4, 50), (64, 8, 65), (8, 1, 65), (30, 4, 65)])
def test_patches_grow_with_the_images(side, patch, tokens):
    net = make("vit_tiny-d1", (1, side, side))
    assert net.body.conv_proj.kernel_size == (patch, patch)
    assert net.body.encoder.pos_embedding.shape == (1, tokens, 192)


def test_a_vit_begins_as_pytorchs_layers_do():
    net = make("vit_tiny-d1", (3, 32, 32))
    attention = net.body.encoder.layers[0].self_attention
    for tensor, bound in (
        (attention.in_proj_weight, (6 / (4 * 192)) ** 0.5),
        (attention.out_proj.weight, 192**-0.5),
        (net.body.conv_proj.weight, 48**-0.5),
        (net.head.weight, 192**-0.5),
    ):
        assert 0.98 * bound < tensor.abs().max() <= bound
        assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not attention.in_proj_bias.any()
    assert not attention.out_proj.bias.any()
    assert net.body.encoder.pos_embedding.std().item() == pytest.approx(0.02, rel=0.05)
    assert net.body.class_token.std().item() == pytest.approx(0.02, rel=0.2)
