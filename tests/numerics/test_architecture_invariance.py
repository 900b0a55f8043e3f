"""The penalty against hand-made values; who gets its gradients, and what it keeps in memory for them."""

import pytest
import torch
from torch.nn import functional

from benchmarks._held import Held
from distilled.images import standardise
from distilled.parametrizations.images import Images
from distilled.parametrizations.memory import Memory
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import selection
from workers.distill.batches import Draw, RealBatches
from workers.distill.loop import run
from workers.distill.penalties import cams
from workers.distill.penalties.architecture_invariance import ArchitectureInvariance, disagreement
from workers.distill.rng import Rng
from workers.distill.shelf import MemoryShelf

REAL = toy_data()
NAMES = ("convnet2-w4", "convnet2-w4-batch", "resnet10-w4", "vit_tiny-d1")
SHELF = MemoryShelf()


def penalty(*, network=None, **options):
    """A penalty with teachers that know a little."""
    small = {"networks": ",".join(NAMES), "teacher_epochs": 3, "teacher_batch": 20, "teacher_learning_rate": 0.02}
    config = ArchitectureInvariance.Config(**{**small, **options})
    made = ArchitectureInvariance(config, space=SPACE, device="cpu", network=network)
    for _ in made.prepare(RealBatches(REAL, device="cpu"), shelf=SHELF):
        pass
    return made


def started(per_class=2, labels="hard"):
    pixels = selection.start("random")(REAL, per_class, Rng(0))
    images = standardise(pixels, mean=SPACE.mean, std=SPACE.std)
    return Images(Images.Config(storage="float32", labels=labels), space=SPACE, images_NCHW=images)


def test_the_penalty_is_the_weighted_sum_of_its_terms():
    weights = {"weight": 0.5, "variance_weight": 2.0, "agreement_weight": 3.0, "position_weight": 4.0}
    made, held = penalty(**weights, batch=10), started()
    value = made.loss(Draw(held), rng=Rng(3))
    labels_N = torch.arange(3).repeat_interleave(2)
    images_NCHW = held.images_NCHW
    maps = [net.maps(images_NCHW) for net in made.teachers.nets]
    cams_MNHW = torch.stack([cams.class_activation(one, labels_N, size=(8, 8)) for one in maps])
    mean_NHW = sum(cams_MNHW) / 4
    variance = sum((one - mean_NHW).square() for one in cams_MNHW).mean() / 4
    logs = [net(images_NCHW).log_softmax(1) for net in made.teachers.nets]
    agreement = sum(
        functional.nll_loss(log_NK, labels_N) + (log_NK.exp() * (log_NK - logs[0])).sum(1).mean() for log_NK in logs
    )
    expected = 0.5 * (2 * variance + 3 * agreement + 4 * cams.apart(cams_MNHW))
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    assert set(made.metrics) == {
        f"penalty_{name}" for name in ("variance", "agreement", "position", "teacher_accuracy")
    }
    assert made.metrics["penalty_variance"] == pytest.approx(variance.item(), rel=1e-4)
    assert made.metrics["penalty_agreement"] == pytest.approx(agreement.item(), rel=1e-4)
    assert made.metrics["penalty_teacher_accuracy"] == min(made.teachers.accuracies)


def test_one_network_many_times_agrees_with_itself():
    made, held = penalty(agreement_weight=0.0, position_weight=1.0), started()
    assert made.loss(Draw(held), rng=Rng(3)) > 0
    made.teachers.nets = [made.teachers.nets[0]] * 4
    assert made.loss(Draw(held), rng=Rng(3)) == 0


def test_disagreement_by_hand():
    sure, unsure = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    label = torch.tensor([0])
    entropies = -torch.log(torch.tensor(0.9)) - torch.log(torch.tensor(0.5))
    # KL(sure || unsure): the network's probabilities weigh, not the backbone's.
    divergence = 0.9 * torch.log(torch.tensor(0.9 / 0.5)) + 0.1 * torch.log(torch.tensor(0.1 / 0.5))
    torch.testing.assert_close(disagreement([sure, unsure], unsure, label), entropies + divergence)
    assert disagreement([sure], sure, label).item() == pytest.approx(-torch.log(torch.tensor(0.9)).item())
    soft = torch.tensor([[0.25, 0.75]])
    expected = -0.25 * torch.log(torch.tensor(0.9)) - 0.75 * torch.log(torch.tensor(0.1))
    torch.testing.assert_close(disagreement([sure], sure, soft), expected)


def test_gradcheck_of_the_disagreement():
    drawn = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, 4, generator=drawn, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    backbone = torch.randn(3, 4, generator=drawn, dtype=torch.float64, requires_grad=True)
    labels_N = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda a, b, c: disagreement([a, b], c, labels_N), (*logits, backbone))


@pytest.mark.parametrize(
    ("options", "network", "backbone"),
    [
        ({}, None, "convnet2-w4"),
        ({}, "resnet10-w4", "resnet10-w4"),
        ({}, "mlp-w8", "mlp-w8"),
        ({}, "mlp-w8,convnet2-w4", "mlp-w8"),
        ({"backbone": "vit_tiny-d1"}, "mlp-w8", "vit_tiny-d1"),
        ({"backbone": "mlp-w8"}, None, "mlp-w8"),
    ],
)
def test_the_backbone_is_the_named_one_or_the_objectives_or_the_first(options, network, backbone):
    made, held = penalty(network=network, **options), started()
    assert made.teachers.networks == NAMES + ((backbone,) if backbone not in NAMES else ())
    made.loss(Draw(held), rng=Rng(3))
    nets = dict(zip(made.teachers.networks, made.teachers.nets, strict=True))
    logits = [nets[name](held.images_NCHW) for name in NAMES]
    expected = disagreement(logits, nets[backbone](held.images_NCHW), torch.arange(3).repeat_interleave(2))
    assert made.metrics["penalty_agreement"] == pytest.approx(expected.item(), rel=1e-4)


def test_only_what_is_learnt_gets_gradients_and_the_networks_stay_as_they_are():
    made = penalty()
    before = [{name: value.clone() for name, value in net.state_dict().items()} for net in made.teachers.nets]
    memory = Memory(
        Memory.Config(storage="float32", bases=4, downsample=2),
        space=SPACE,
        bases_MChw=torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(0)),
        addresses_KRM=torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1)),
    )
    for held in (started(), started(labels="soft"), memory):
        made.loss(Draw(held), rng=Rng(3)).backward()
        for name, parameter in held.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    for net, state in zip(made.teachers.nets, before, strict=True):
        assert not net.training
        assert all(parameter.grad is None for parameter in net.parameters())
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_step_looks_at_so_many_images_of_each_class():
    for batch, seen in ((1, 3), (2, 6), (9, 6)):
        draw = Draw(started())
        penalty(batch=batch).loss(draw, rng=Rng(3))
        assert draw.images_seen == seen


@pytest.mark.parametrize("term", ["variance", "agreement", "position"])
def test_following_a_term_lowers_it(term):
    terms = ("variance", "agreement", "position")
    made, held = penalty(**{f"{name}_weight": float(name == term) for name in terms}), started()
    optimiser, values = torch.optim.Adam(held.parameters(), lr=0.1), []
    for _ in range(25):
        optimiser.zero_grad()
        made.loss(Draw(held), rng=Rng(3)).backward()
        optimiser.step()
        values.append(made.metrics[f"penalty_{term}"])
    assert values[-1] < 0.95 * values[0]


def weights(made):
    return [value for net in made.teachers.nets for value in (*net.parameters(), *net.buffers())]


@pytest.mark.parametrize("names", [NAMES[:3], NAMES])
def test_it_keeps_the_activations_of_its_networks_and_a_few_maps(names):
    made, held = penalty(batch=2, networks=",".join(names)), started()
    activations = 0
    for net in made.teachers.nets:
        with Held(weights(made)).watched() as alone:
            logits_NK = net(held.images_NCHW)
            activations += alone.now
        del logits_NK
    with Held(weights(made)).watched() as ledger:
        value = made.loss(Draw(held), rng=Rng(3))
        kept = ledger.peak
    value.backward()
    # Beside the activations: of each network and image its maps, twice (they and their slopes), and a handful of
    # class-activation maps in the image's size, on the way from raw to compared.
    maps = sum(net.maps(held.images_NCHW).maps_NDhw.numel() for net in made.teachers.nets)
    cam = len(names) * 6 * 8 * 8
    assert 0.8 * activations < kept <= activations + 4 * (2 * maps + 12 * cam)


@pytest.mark.parametrize("reverse", ["recompute", "graph"])
def test_what_it_keeps_does_not_grow_with_the_steps_of_its_host(reverse, monkeypatch):
    told = []
    original = ArchitectureInvariance.loss

    def watched(self, draw, *, rng):
        at_first, ledger.peak = ledger.now, ledger.now
        out = original(self, draw, rng=rng)
        told[-1].append((at_first, ledger.peak))
        return out

    monkeypatch.setattr(ArchitectureInvariance, "loss", watched)
    declared = {"kind": "architecture_invariance", "networks": "convnet2-w4,resnet10-w4", "teacher_epochs": 1}
    for inner_steps in (2, 6):
        told.append([])
        objective = {"inner_steps": inner_steps, "reverse": reverse}
        recipe = toy_recipe("bptt", objective=objective, penalties=[declared], steps=2)
        with Held().watched() as ledger:
            for _ in run(recipe, REAL, code_version="test", shelf=SHELF):
                pass
    assert told[0] == told[1]
    assert [at_first for at_first, _ in told[0]] == [0, 0]  # the host's graph is gone when the penalty is made
    assert min(peak for _, peak in told[0]) > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_comes_to_the_same_value_and_gradient():
    made, found = penalty(), []
    for device in ("cpu", "cuda"):
        made.device, held = device, started().to(device)
        made.teachers.nets = [net.to(device) for net in made.teachers.nets]
        value = made.loss(Draw(held), rng=Rng(3))
        value.backward()
        found.append((value.detach().cpu(), held.images_NCHW.grad.cpu()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-4)
