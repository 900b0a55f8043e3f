"""Statistics of batch normalisations: loss and gradients by hand, nothing where it must be; the teacher's labels."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from distilled.files import open_artifact
from distilled.parametrizations.images import Images
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import networks, starts
from workers.distill.augment import crops
from workers.distill.batches import Draw, RealBatches
from workers.distill.evaluate import EvaluationConfig, evaluate
from workers.distill.events import Finished
from workers.distill.loop import run
from workers.distill.objectives.statistics import StatisticsMatching, look, total_variation
from workers.distill.rng import Rng
from workers.distill.scores import ior
from workers.distill.shelf import MemoryShelf

REAL = toy_data()
#: So that a run finds its teacher, which many of these tests have in common.
SHELF = MemoryShelf()


def noise(*shape, dtype=torch.float64, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tiny(name="convnet2-w3-batch"):
    """A network in double precision whose batch normalisations know something else than at the start."""
    net = networks.make(name, space_shape=(1, 4, 4), num_classes=3, rng=Rng(0).generator()).double()
    with torch.no_grad():
        for i, layer in enumerate(norms(net)):
            layer.running_mean.copy_(0.1 * noise(len(layer.running_mean), seed=i))
            layer.running_var.copy_(1 + 0.5 * noise(len(layer.running_var), seed=10 + i).abs())
            layer.weight.copy_(1 + 0.3 * noise(len(layer.weight), seed=20 + i))
            layer.bias.copy_(0.2 * noise(len(layer.bias), seed=30 + i))
    return net.eval().requires_grad_(False)


def norms(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]


def by_hand(net, images_NCHW):
    """Logits and distance of a ConvNet, block by block."""
    x, distance = images_NCHW, 0.0
    for conv, norm, _, _ in zip(*(net.blocks[start::4] for start in range(4)), strict=True):
        x = functional.conv2d(x, conv.weight, conv.bias, padding=1)
        channels = x.transpose(0, 1).flatten(1)
        mean = channels.sum(1) / channels.shape[1]
        var = ((channels - mean[:, None]) ** 2).sum(1) / (channels.shape[1] - 1)
        distance = distance + ((mean - norm.running_mean) ** 2).sum().sqrt()
        distance = distance + ((var - norm.running_var) ** 2).sum().sqrt()
        centred = x - norm.running_mean[:, None, None]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        x = functional.avg_pool2d((centred * scale[:, None, None] + norm.bias[:, None, None]).clamp_min(0), 2)
    return x.flatten(1) @ net.head.weight.T + net.head.bias, distance


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_the_distance_and_its_gradient_by_hand():
    net, images_NCHW = tiny(), noise(5, 1, 4, 4).requires_grad_()
    logits_NK, distance = look(net, images_NCHW)
    for found, wanted in zip((logits_NK, distance), by_hand(net, images_NCHW), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        slopes = [torch.autograd.grad(one.square().sum(), images_NCHW, retain_graph=True)[0] for one in (found, wanted)]
        torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)
    assert distance > 0.1


def test_gradients_are_those_of_finite_differences():
    net = tiny()
    assert torch.autograd.gradcheck(lambda images: look(net, images)[1], noise(4, 1, 4, 4).requires_grad_())
    assert torch.autograd.gradcheck(total_variation, noise(2, 2, 4, 3).requires_grad_())


def test_it_is_nothing_for_the_images_that_the_statistics_are_of():
    images_NCHW, net = noise(7, 1, 4, 4), tiny(name="convnet1-w3-batch")
    for layer in norms(net):
        layer.momentum = 1.0  # one pass in training mode, and what it knows are the statistics of that batch
    net.train()(images_NCHW)
    net.eval()
    assert look(net, images_NCHW)[1] < 1e-12
    assert look(net, images_NCHW[torch.randperm(7, generator=torch.Generator().manual_seed(0))])[1] < 1e-12
    assert look(net, images_NCHW[:6])[1] > 0.01
    assert look(net, images_NCHW + 1)[1] > 0.1


def test_looking_leaves_the_teacher_as_it_was():
    net = tiny()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    look(net, noise(3, 1, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_every_batch_normalisation_of_a_residual_network_is_looked_at():
    net = networks.make("resnet10-w2-batch", space_shape=(3, 8, 8), num_classes=3, rng=Rng(0).generator()).eval()
    images_NCHW = noise(4, 3, 8, 8, dtype=torch.float32)
    _, before = look(net, images_NCHW)
    assert len(norms(net)) == 12
    for layer in norms(net):  # the last has no other behind it that would notice
        layer.running_mean += 1
        assert look(net, images_NCHW)[1] != before
        layer.running_mean -= 1


def test_total_variation_is_the_mean_step_between_neighbours():
    image = torch.tensor([[[[0.0, 1.0, 3.0], [0.0, -1.0, 3.0]]]])
    assert total_variation(image) == pytest.approx((0 + 2 + 0) / 3 + (1 + 2 + 1 + 4) / 4)
    assert total_variation(torch.full((2, 3, 4, 4), 0.7)) == 0


# -- the objective -----------------------------------------------------------------------------------------------------

SMALL = {"network": "convnet1-w4-batch", "teacher_epochs": 6, "teacher_batch": 20, "augment": "none"}


def recipe(*, ipc=2, steps=6, parametrization=None, **options):
    return toy_recipe(
        "sre2l", ipc=ipc, steps=steps, parametrization=parametrization or {}, objective={**SMALL, **options}
    )


def stage(**options):
    """An objective that is prepared, and what its loss needs."""
    asked = recipe(**options)
    parametrization = starts.begin(asked, REAL, asked["ipc"], rng=Rng(0))
    config = {name: value for name, value in asked["objective"].items() if name != "kind"}
    made = StatisticsMatching(StatisticsMatching.Config(**config), space=REAL.space, device="cpu", rng=Rng(0))
    batches = RealBatches(REAL, device="cpu")
    list(made.prepare(batches, parametrization=parametrization, shelf=SHELF))
    return parametrization, made, Draw(parametrization), batches


def finished(asked):
    told = list(run(asked, REAL, code_version="test", shelf=SHELF))[-1]
    assert isinstance(told, Finished)
    return told.content


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_loss_is_the_sum_of_its_terms(labels):
    weights = {"statistics_weight": 0.3, "tv_weight": 0.7, "l2_weight": 0.9}
    parametrization, objective, draw, batches = stage(parametrization={"labels": labels}, **weights)
    value = objective.loss(draw, batches, rng=Rng(5))
    images_NCHW = parametrization.whole().images_NCHW
    logits_NK, distance = look(objective.teacher, images_NCHW)
    # Labels are the classes, in recovery also where the images have soft ones.
    entropy = functional.cross_entropy(logits_NK, torch.arange(3).repeat_interleave(2))
    wanted = entropy + 0.3 * distance + 0.7 * total_variation(images_NCHW) + 0.9 * images_NCHW.square().mean()
    torch.testing.assert_close(value, wanted, rtol=1e-5, atol=0)
    value.backward()
    slope = torch.autograd.grad(wanted, parametrization.images_NCHW)[0]
    torch.testing.assert_close(parametrization.images_NCHW.grad, slope, rtol=1e-4, atol=1e-6)
    assert labels == "hard" or parametrization.logits_NK.grad is None
    assert objective.metrics["statistics"] == pytest.approx(distance.item(), rel=1e-5)
    assert objective.metrics["cross_entropy"] == pytest.approx(entropy.item(), rel=1e-5)
    assert objective.metrics["teacher_accuracy"] > 0.5
    assert draw.images_seen == 6


def test_a_step_sees_a_balanced_batch_of_all_classes():
    parametrization, objective, draw, batches = stage(ipc=3, drawn_batch=2)
    objective.loss(draw, batches, rng=Rng(5)).backward()
    reached_N = parametrization.images_NCHW.grad.abs().amax((1, 2, 3)) > 0
    assert reached_N.view(3, 3).sum(1).tolist() == [2, 2, 2]
    assert draw.images_seen == 6


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_soft_labels_are_what_the_teacher_says_of_the_stored_images(storage, temperature):
    parametrization = {"labels": "soft", "storage": storage}
    content = finished(recipe(parametrization=parametrization, temperature=temperature))
    whole = open_artifact(content).parametrization.whole()
    _, objective, _, _ = stage()
    with torch.no_grad():
        wanted = (objective.teacher(whole.images_NCHW) / temperature).softmax(1)
    torch.testing.assert_close(whole.targets, wanted, rtol=1e-4, atol=1e-6)
    assert not objective.teacher.training
    assert (whole.targets.argmax(1) == torch.arange(3).repeat_interleave(2)).all()


def test_soft_labels_are_stored_and_counted():
    hard, soft = (open_artifact(finished(recipe(parametrization={"labels": one}))) for one in ("hard", "soft"))
    assert soft.header["budget"]["bytes"] - hard.header["budget"]["bytes"] == 6 * (3 * 4 - 1)
    assert torch.equal(hard.parametrization.whole().images_NCHW, soft.parametrization.whole().images_NCHW)


def test_without_relabelling_labels_are_as_they_were():
    content = finished(recipe(parametrization={"labels": "soft"}, relabel="none"))
    begun, _, _, _ = stage(parametrization={"labels": "soft"})
    assert isinstance(begun, Images)
    torch.testing.assert_close(
        open_artifact(content).parametrization.whole().targets, begun.logits_NK.softmax(1).detach()
    )


def test_a_memory_is_recovered_as_well_and_has_no_labels_to_change():
    memory = {"kind": "memory", "bases": 4, "storage": "float32"}
    before, objective, draw, batches = stage(parametrization=memory)
    loss = objective.loss(draw, batches, rng=Rng(0))
    loss.backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in before.parameters())
    after = open_artifact(finished(recipe(parametrization=memory, steps=40))).parametrization
    found = [objective.loss(Draw(one), batches, rng=Rng(0)).item() for one in (before, after)]
    assert found[1] < 0.8 * found[0]
    assert not after.soft


def test_a_generator_is_recovered_as_well():
    generator = {"kind": "generator", "width": 4, "latent": 8}
    before, objective, draw, batches = stage(parametrization=generator, drawn_batch=4)
    objective.loss(draw, batches, rng=Rng(0)).backward()
    assert draw.images_seen == 12
    assert any(value.grad.abs().max() > 0 for value in before.parameters())
    objective.finish(before)
    assert not before.soft


def test_an_evaluation_gives_hard_and_soft_labels_apart():
    content = finished(recipe(parametrization={"labels": "soft"}))
    config = EvaluationConfig(steps=10, epochs=1, repeats=1)
    told = evaluate(content, REAL, network="mlp-w16", config=config, seed=0)
    assert set(told["distilled"]) == {"hard", "soft", "bytes", "images"}
    assert told["labels"] == "hard"
    assert told["distilled"]["bytes"] == 6 * (64 + 3 * 4)
    assert told["ior"] == ior(told["distilled"]["hard"], told["random"])  # of hard labels; soft ones are told beside
    assert 0 < told["distilled"]["soft"]["mean"] <= 1


# -- crops -------------------------------------------------------------------------------------------------------------


def test_a_whole_image_is_its_own_crop_and_mirrored_half_the_time():
    images_NCHW = noise(64, 2, 6, 5)
    whole = crops(images_NCHW, rng=Rng(0).generator(), least_area=1.0, flip=False)
    torch.testing.assert_close(whole, images_NCHW)
    mirrored = crops(images_NCHW, rng=Rng(0).generator(), least_area=1.0, flip=True)
    flips = [torch.allclose(one, image.flip(2)) for one, image in zip(mirrored, images_NCHW, strict=True)]
    kept = [torch.allclose(one, image) for one, image in zip(mirrored, images_NCHW, strict=True)]
    assert [one != other for one, other in zip(flips, kept, strict=True)] == [True] * 64
    assert 20 < sum(flips) < 44


def test_a_crop_is_a_part_of_the_image_at_its_full_size():
    # A picture of its own coordinates tells which part was taken: between 0.25 and 1 of the area, anywhere inside.
    size = 16
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    picture_CHW = torch.stack(torch.meshgrid(at, at, indexing="ij"))
    found = crops(picture_CHW.expand(200, 2, size, size), rng=Rng(1).generator(), least_area=0.25, flip=False)
    assert found.min() >= at[0] - 1e-9
    assert found.max() <= at[-1] + 1e-9
    # Slopes in the middle, where no edge is near: the part's height and width as shares of the image's.
    down = (found[:, 0, 10, 8] - found[:, 0, 6, 8]) * size / 4
    across = (found[:, 1, 8, 10] - found[:, 1, 8, 6]) * size / 4
    torch.testing.assert_close(down, across)
    area = down * across
    assert 0.25 - 1e-9 <= area.min() < 0.3
    assert 0.95 < area.max() <= 1 + 1e-9
    assert found[:, 0, 8, 8].std() > 0.02
    assert not torch.equal(found[:, 0, 8, 8], found[:, 1, 8, 8])


def test_gradients_of_crops_are_those_of_finite_differences():
    images_NCHW = noise(3, 1, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: crops(x, rng=Rng(0).generator(), least_area=0.3, flip=True), images_NCHW)
