"""Recall from a memory against explicit loops, and its starts and its bytes against their bounds."""

import math

import pytest
import torch

from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.grid import decode, encode
from distilled.parametrizations.memory import Memory
from workers.distill.rng import Rng
from workers.distill.starts import components, filled, xavier

SPACE = ImageSpace(shape=(2, 6, 4), mean=(0.4, 0.5), std=(0.3, 0.2), classes=("cat", "dog", "owl"))
CONFIG = Memory.Config(bases=3, downsample=2, storage="float32")


def values(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def memory():
    return Memory(CONFIG, space=SPACE, bases_MChw=values(3, 2, 3, 2), addresses_KRM=values(3, 4, 3, seed=1))


def enlarged(small, out, times):
    """(place, share) of the small pixels in one enlarged pixel of an axis: centres at (i + 1/2) times, border kept."""
    at = max(0.0, (out + 0.5) / times - 0.5)
    low = int(at)
    return [(low, 1 - (at - low)), (min(low + 1, small - 1), at - low)]


def by_hand(made, query, row, channel, y, x):
    """One pixel of up(q^T A_i B), with nothing but loops."""
    addresses, bases = made.addresses_KRM.tolist(), made.bases_MChw.tolist()
    total = 0.0
    for k in range(3):
        for m in range(3):
            for i, share_y in enlarged(3, y, 2):
                for j, share_x in enlarged(2, x, 2):
                    total += query[k] * addresses[k][row][m] * bases[m][channel][i][j] * share_y * share_x
    return total


def test_recall_is_the_sum_over_classes_and_bases_enlarged_bilinearly():
    made, query = memory(), torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    (image,) = made.recall(query, torch.tensor([2])).detach()
    expected = [[[by_hand(made, query[0].tolist(), 2, c, y, x) for x in range(4)] for y in range(6)] for c in range(2)]
    torch.testing.assert_close(image, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_a_class_is_the_mixture_of_itself_alone():
    made = memory()
    whole = made.whole()
    for k in range(3):
        one_hot = torch.eye(3, dtype=torch.float64)[[k] * 4]
        torch.testing.assert_close(whole.images_NCHW[4 * k : 4 * k + 4], made.recall(one_hot, torch.arange(4)))
    assert whole.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_mixture_is_the_same_mixture_of_images():
    made, query = memory(), torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    images_KRCHW = made.whole().images_NCHW.unflatten(0, (3, 4))
    mixed = made.mix(query.repeat(4, 1), rng=None)
    torch.testing.assert_close(mixed.images_NCHW, torch.einsum("k,krchw->rchw", query[0], images_KRCHW))
    torch.testing.assert_close(mixed.targets, query.repeat(4, 1))


def test_many_queries_are_the_same_as_one_at_a_time(monkeypatch):
    made = memory()
    queries, rows = values(7, 3, seed=3), torch.tensor([0, 3, 1, 2, 2, 0, 1])
    at_once = made.recall(queries, rows)
    monkeypatch.setattr("distilled.parametrizations.memory.AT_ONCE", 3)
    torch.testing.assert_close(made.recall(queries, rows), at_once)


def test_gradients_reach_bases_and_addresses_twice():
    labels = torch.tensor([0, 1, 1, 2])

    def images(bases_MChw, addresses_KRM):
        made = memory()
        parameters = {"bases_MChw": bases_MChw, "addresses_KRM": addresses_KRM}
        drawn = torch.func.functional_call(_Drawing(made), {f"made.{n}": v for n, v in parameters.items()}, (labels,))
        return drawn.square()  # so that the second derivative is not that of a product alone

    inputs = (values(3, 2, 3, 2).requires_grad_(True), values(3, 4, 3, seed=1).requires_grad_(True))
    assert torch.autograd.gradcheck(images, inputs)
    assert torch.autograd.gradgradcheck(lambda *given: images(*given).sum(), inputs)


class _Drawing(torch.nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, labels_N):
        return self.made.draw(labels_N, rng=None).images_NCHW


def test_bytes_come_back_within_half_a_step_of_their_own_basis():
    scales = torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)
    for given, dim in ((values(3, 5, 7) * scales.view(-1, 1, 1), 0), (values(5, 7, 3) * scales, 2)):
        codes, step, offset = encode(given, dim=dim)
        back = decode(codes, step, offset, dim=dim).double()
        assert codes.dtype == torch.uint8
        assert codes.shape == given.shape
        worst = (back - given).abs().movedim(dim, 0).flatten(1).amax(1)
        assert (worst <= 0.5 * step.double() * (1 + 1e-4)).all()
        ranges = given.movedim(dim, 0).flatten(1).amax(1) - given.movedim(dim, 0).flatten(1).amin(1)
        torch.testing.assert_close(step.double(), ranges / 255, rtol=1e-6, atol=0)
        again = encode(decode(codes, step, offset, dim=dim), dim=dim)
        assert torch.equal(again[0], codes), "a second trip changes no code"


def test_codes_do_not_see_how_a_basis_and_its_addresses_share_their_scale():
    given = values(2, 8)
    assert torch.equal(encode(given, dim=0)[0], encode(given * torch.tensor([[4.0], [0.25]]), dim=0)[0])


def test_a_constant_comes_back_exactly():
    codes, step, offset = encode(torch.full((2, 3), -1.5), dim=0)
    assert (codes == 0).all()
    assert (step == 0).all()
    assert (decode(codes, step, offset, dim=0) == -1.5).all()


def test_components_come_nearest_to_the_images_in_the_mean_square():
    points = values(30, 8) @ values(8, 8, seed=1)
    bases = components(points, otherwise_MD=torch.zeros(3, 8, dtype=torch.float64))
    torch.testing.assert_close(bases @ bases.T / 8, torch.eye(3, dtype=torch.float64), rtol=1e-10, atol=1e-10)
    addresses = points @ bases.T / 8
    lost = (points - addresses @ bases).square().sum()
    torch.testing.assert_close(lost, torch.linalg.svdvals(points)[3:].square().sum())  # Eckart & Young


def test_fewer_images_than_bases_leave_the_rest_as_they_were():
    otherwise = values(5, 8, seed=2)
    bases = components(values(2, 8), otherwise_MD=otherwise)
    assert torch.equal(bases[2:], otherwise[2:])
    assert bases[:2].square().mean(1).tolist() == pytest.approx([1, 1])


def test_missing_rows_lie_between_two_of_their_class():
    known = torch.stack([torch.zeros(2, 3), torch.ones(2, 3)])
    known[1, 1] = 3
    rows = filled(known, 6, rng=Rng(0))
    assert torch.equal(rows[:, :2], known)
    assert (rows[0] == 0).all()
    assert rows[1, 2:].min() >= 1
    assert rows[1, 2:].max() <= 3
    assert torch.equal(filled(known, 2, rng=Rng(0)), known)


def test_xavier_is_uniform_in_its_bound():
    drawn, bound = xavier(200, 100, rng=Rng(0).generator()), math.sqrt(6 / 300)
    assert drawn.abs().max() <= bound
    assert drawn.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(drawn.mean().item()) < 0.01 * bound
