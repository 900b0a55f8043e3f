"""What is matched, by hand and by finite differences; how images are paired; how the pool's networks learn."""

import pytest
import torch
from torch import nn

from distilled.parametrizations.base import Batch
from distilled.parametrizations.generator import Generator
from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill import networks, starts
from workers.distill.batches import Draw, RealBatches
from workers.distill.objectives import matches
from workers.distill.objectives.logits import LogitMatching
from workers.distill.rng import Rng
from workers.distill.shelf import MemoryShelf

REAL = toy_data()
LABELS = torch.tensor([0, 2, 2, 0, 2])


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(name):
    return networks.make(name, space_shape=SPACE.shape, num_classes=3, rng=Rng(1).generator()).double()


def pairs():
    return [Batch(images_NCHW=noise(5, 1, 8, 8, seed=seed), targets=LABELS) for seed in (1, 2)]


# -- the three matches -------------------------------------------------------------------------------------------------


def test_logits_by_hand():
    net, (real, drawn) = network("convnet2-w4"), pairs()
    total = 0.0
    for i in range(5):
        one, other = (nn.functional.log_softmax(net(side.images_NCHW[i : i + 1]), 1) for side in (real, drawn))
        total += (one - other).square().sum().item()
    assert matches.logits(net, real, drawn).item() == pytest.approx(total / 15, rel=1e-9)


def test_features_by_hand():
    net, (real, drawn) = network("convnet2-w4"), pairs()
    gaps = []
    for members in ([0, 3], [1, 2, 4]):  # class 1 is not in the batch
        one, other = (net.features(side.images_NCHW[members]).mean(0) for side in (real, drawn))
        gaps.append((one - other).abs().sum().item())
    assert matches.features(net, real, drawn).item() == pytest.approx(sum(gaps) / 2, rel=1e-9)


def test_gradients_by_hand_are_those_of_the_convolutions():
    net, (real, drawn) = network("convnet2-w4"), pairs()
    convolutions = [layer.weight for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 2
    one, other = (
        torch.autograd.grad(nn.functional.cross_entropy(net(side.images_NCHW), LABELS), convolutions)
        for side in (real, drawn)
    )
    wanted = sum((a - b).abs().sum().item() for a, b in zip(one, other, strict=True))
    assert matches.gradients(net, real, drawn).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("kind", list(matches.MATCHES))
@pytest.mark.parametrize("name", ["convnet1-w2", "convnet1-w2-batch", "mlp-w4"])
def test_gradients_in_the_images_are_those_of_finite_differences(kind, name):
    net, (real, drawn) = network(name).requires_grad_(False), pairs()

    def distance(images_NCHW):
        return matches.MATCHES[kind](net, real, Batch(images_NCHW=images_NCHW, targets=LABELS))

    assert torch.autograd.gradcheck(distance, drawn.images_NCHW.requires_grad_(), fast_mode=True)


def test_gradients_reach_soft_targets_as_well():
    net, (real, drawn) = network("convnet1-w2").requires_grad_(False), pairs()
    soft_NK = noise(5, 3, seed=4).softmax(1).requires_grad_()
    matches.gradients(net, real, Batch(images_NCHW=drawn.images_NCHW, targets=soft_NK)).backward()
    assert soft_NK.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", list(matches.MATCHES))
def test_what_is_the_same_is_at_no_distance(kind):
    net, (real, _) = network("convnet1-w2").requires_grad_(False), pairs()
    assert matches.MATCHES[kind](net, real, real).item() < 1e-12


# -- the objective -----------------------------------------------------------------------------------------------------

GENERATOR = {"width": 4, "latent": 8}


def stage(parametrization=None, **options):
    """An objective that is prepared, and what its loss needs."""
    asked = toy_recipe("dim", parametrization=parametrization or GENERATOR, objective={"warmup_steps": 0, **options})
    made = starts.begin(asked, REAL, 2, rng=Rng(0))
    config = {name: value for name, value in asked["objective"].items() if name != "kind"}
    objective = LogitMatching(LogitMatching.Config(**config), space=SPACE, device="cpu", rng=Rng(0))
    batches = RealBatches(REAL, device="cpu")
    list(objective.prepare(batches, parametrization=made, shelf=MemoryShelf()))
    return objective, Draw(made), batches


def seen_by_the_match(monkeypatch, kind="logits"):
    """What the match is given, as it is given it."""
    told, true = [], matches.MATCHES[kind]

    def spy(net, real, drawn):
        told.append((real, drawn))
        return true(net, real, drawn)

    monkeypatch.setitem(matches.MATCHES, kind, spy)
    return told


def test_each_real_image_has_a_partner_of_its_class(monkeypatch):
    told = seen_by_the_match(monkeypatch)
    objective, draw, batches = stage(batch=12)
    asked = []
    objective.loss(lambda labels_N, rng: asked.append(labels_N) or draw(labels_N, rng=rng), batches, rng=Rng(5))
    ((real, drawn),) = told
    assert real.targets.tolist() == drawn.targets.tolist() == asked[0].tolist()
    assert len(set(real.targets.tolist())) == 3
    assert real.images_NCHW.shape == drawn.images_NCHW.shape == (12, 1, 8, 8)


def test_both_sides_see_the_same_augmentation(monkeypatch):
    told = seen_by_the_match(monkeypatch)
    objective, _, batches = stage(batch=12, adversarial_weight=0)
    for seed in range(4):
        seen = batches.mixed(12, rng=Rng(seed).child("real"))
        same = Batch(images_NCHW=seen.images_NCHW.clone().requires_grad_(), targets=seen.targets)
        loss = objective.loss(lambda labels_N, rng, same=same: same, batches, rng=Rng(seed))
        real, drawn = told[-1]
        assert torch.equal(real.images_NCHW, drawn.images_NCHW), "images that are the same have to stay the same"
        assert not torch.equal(real.images_NCHW, seen.images_NCHW), "and vary"
        assert loss.item() == 0


def test_the_loss_is_the_weighted_sum_of_both_terms():
    rng, weights = Rng(5), {"match_weight": 0.3, "adversarial_weight": 2.0}
    objective, draw, batches = stage(augment="none", pool_size=1, network_steps=0, **weights)
    value = objective.loss(draw, batches, rng=rng)
    value.backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in draw.parametrization.net[0].parameters())
    twin, again, _ = stage(augment="none", pool_size=1, network_steps=0, **weights)
    seen = batches.mixed(8, rng=rng.child("real"))
    drawn = again(seen.targets, rng=rng.child("draw"))
    match = matches.logits(twin.pool.nets[0], seen, drawn)
    fooled = twin.adversary.generator_loss(drawn.images_NCHW, seen.targets)
    torch.testing.assert_close(value, 0.3 * match + 2 * fooled)
    assert objective.metrics["match"] == pytest.approx(0.3 * match.item())
    assert objective.metrics["adversarial"] == pytest.approx(2 * fooled.item())


def test_without_an_adversary_there_is_no_discriminator_and_without_a_match_no_network():
    objective, draw, batches = stage(adversarial_weight=0)
    objective.loss(draw, batches, rng=Rng(0))
    seen = draw.images_seen
    objective.after_step(draw, batches, rng=Rng(0))
    assert objective.adversary is None
    assert draw.images_seen == seen
    assert not any(name.startswith("adversary/") for name in objective.tensors())
    objective, draw, batches = stage(match_weight=0)
    objective.loss(draw, batches, rng=Rng(0)).backward()
    assert objective.pool.nets == []
    assert list(objective.metrics) == ["adversarial"]


def test_the_discriminators_turn_leaves_the_generator_as_it_is():
    objective, draw, batches = stage(discriminator_steps=2)
    before = {name: value.clone() for name, value in draw.parametrization.named_parameters()}
    was = {name: value.clone() for name, value in objective.adversary.net.state_dict().items()}
    objective.after_step(draw, batches, rng=Rng(0))
    for name, value in draw.parametrization.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None
    assert any(not torch.equal(value, was[name]) for name, value in objective.adversary.net.state_dict().items())
    assert draw.images_seen == 2 * 8


# -- the pool ----------------------------------------------------------------------------------------------------------


def test_a_network_is_trained_before_it_is_used_as_torch_would_train_it():
    options = {"network_steps": 3, "network_batch": 10, "network_weight_decay": 0.1, "augment": "none"}
    objective, draw, batches = stage(pool_size=1, **options)
    net = networks.make(
        "convnet2-w8", space_shape=SPACE.shape, num_classes=3, rng=Rng(0).child("pool").child("birth", 0).generator()
    )
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for step in range(3):
        batch = batches.mixed(10, rng=Rng(5).child("network").child("lesson", step).child("real"))
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(batch.images_NCHW), batch.targets).backward()
        optimiser.step()
    objective.loss(draw, batches, rng=Rng(5)).backward()
    for name, value in objective.pool.nets[0].state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name])
    assert not any(weight.requires_grad for weight in objective.pool.nets[0].parameters())


def test_a_network_is_replaced_after_its_life_and_the_pool_has_each_architecture():
    objective, draw, batches = stage(network="convnet2-w8, mlp-w4", pool_size=2, network_life=3)
    assert [type(net).__name__ for net in objective.pool.nets] == ["ConvNet", "MLP"] * 2
    assert objective.pool.ages == [0, 0, 1, 2], "they are not replaced all at once"
    used = set()
    for step in range(30):
        objective.loss(draw, batches, rng=Rng(step))
        used.add(objective.pool.chosen)
        assert max(objective.pool.ages) <= 3
    assert used == {0, 1, 2, 3}
    # 30 uses, 3 a life, and three uses were behind them when it began.
    assert 4 + 30 // 3 - 4 <= objective.pool.births <= 4 + 33 // 3
    assert [type(net).__name__ for net in objective.pool.nets] == ["ConvNet", "MLP"] * 2


@pytest.mark.parametrize("kind", list(matches.MATCHES))
def test_a_generator_learns_from_each_match_alone(kind):
    objective, draw, batches = stage(match=kind, adversarial_weight=0)
    objective.loss(draw, batches, rng=Rng(0)).backward()
    assert isinstance(draw.parametrization, Generator)
    assert all(weight.grad is not None for weight in draw.parametrization.parameters())
    assert sum(weight.grad.abs().sum() for weight in draw.parametrization.parameters()) > 0
