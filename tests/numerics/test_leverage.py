"""Scores of selections against closed forms: ridge leverage and k-means sensitivity."""

import math

import pytest
import torch

from workers.distill.rng import Rng
from workers.distill.selection import sensitivity
from workers.distill.selection.leverage import fourier, gram, leverage, tail


def points(count, size, *, seed=0):
    return torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scores(features_ND, *, ridge):
    """Leverage with the features given in two chunks."""

    def chunks():
        yield from features_ND.split(-(-len(features_ND) // 2))

    return leverage(chunks, gram(chunks), ridge=ridge)


@pytest.mark.parametrize(("count", "size"), [(9, 4), (4, 9)])
@pytest.mark.parametrize("ridge", [1e-3, 0.7])
def test_leverage_is_the_diagonal_of_the_dense_formula(count, size, ridge):
    features = points(count, size)
    kernel = features @ features.T
    dense = kernel @ torch.linalg.inv(kernel + ridge * torch.eye(count, dtype=torch.float64))
    found = scores(features, ridge=ridge)
    torch.testing.assert_close(found, dense.diagonal(), rtol=1e-9, atol=1e-12)
    values = torch.linalg.eigvalsh(kernel)
    effective_dimension = (values / (values + ridge)).sum()
    torch.testing.assert_close(found.sum(), effective_dimension, rtol=1e-9, atol=1e-12)
    assert found.min() > 0
    assert found.max() < 1


def test_duplicates_share_their_leverage_and_a_loner_keeps_its_own():
    axes = torch.eye(3, dtype=torch.float64)
    features = torch.cat([axes[:1].repeat(5, 1), axes[1:2].repeat(2, 1), axes[2:]])
    expected = torch.tensor([1 / 5.25] * 5 + [1 / 2.25] * 2 + [1 / 1.25], dtype=torch.float64)
    torch.testing.assert_close(scores(features, ridge=0.25), expected, rtol=1e-12, atol=0)


def test_the_ridge_is_what_is_left_beyond_the_best_directions():
    gram_DD = torch.diag(torch.tensor([1.0, 8.0, 2.0, 4.0], dtype=torch.float64))
    assert tail(gram_DD, 2) == pytest.approx((2 + 1) / 2)
    assert tail(gram_DD, 1) == pytest.approx(7.0)
    assert tail(gram_DD, 100) == pytest.approx(1.5), "at most half of the features count as directions"
    assert tail(torch.diag(torch.tensor([4.0, 0.0], dtype=torch.float64)), 1) > 0


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_effective_dimension_is_at_most_twice_the_images_of_the_start(count):
    features = points(40, 12) * torch.logspace(0, -3, 12, dtype=torch.float64)
    total = scores(features, ridge=tail(features.T @ features, count)).sum()
    assert 0 < total <= 2 * count


def test_fourier_features_have_norm_one_and_estimate_the_gaussian():
    pixels, width = points(6, 5), 3.0
    frequencies = points(40_000, 5, seed=1) * math.sqrt(2 / width)
    features = fourier(pixels, frequencies)
    torch.testing.assert_close(features.square().sum(1), torch.ones(6, dtype=torch.float64), rtol=1e-12, atol=0)
    gaussian = torch.exp(-torch.cdist(pixels, pixels).square() / width)
    # The standard error of an inner product of 40,000 cosines is at most 1 / sqrt(80,000) = 0.0036.
    assert (features @ features.T - gaussian).abs().max() < 5 * 0.0036


def test_of_one_image_an_outlier_has_half_of_all_chances():
    line = torch.zeros(8, 2, dtype=torch.float64)
    line[3] = torch.tensor([30.0, -40.0])
    chances = sensitivity.chances(line, 1, rng=Rng(0))
    expected = torch.full((8,), 1 / 16 + 1 / (2 * 8 * 7), dtype=torch.float64)
    expected[3] = 0.5
    torch.testing.assert_close(chances, expected, rtol=1e-12, atol=0)


def test_the_bound_is_the_sum_of_its_three_terms():
    pixels, centres = points(12, 3), points(3, 3, seed=5)
    alpha = 16 * (math.log(3) + 2)
    squared = [[(float((p - c).square().sum())) for c in centres] for p in pixels]
    nearest = [row.index(min(row)) for row in squared]
    mean = sum(min(row) for row in squared) / 12
    by_hand = []
    for row, own in zip(squared, nearest, strict=True):
        cluster = [min(other) for other, place in zip(squared, nearest, strict=True) if place == own]
        terms = (alpha * min(row), 2 * alpha * sum(cluster) / len(cluster))
        by_hand.append(sum(terms) / mean + 4 * 12 / len(cluster))
    found = sensitivity.bound(pixels, centres)
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-10, atol=0)
    # In sum, the terms are a n, 2a n and 4 n for each cluster.
    assert float(found.sum()) == pytest.approx(12 * (alpha + 2 * alpha + 4 * len(set(nearest))))


@pytest.mark.parametrize("count", [1, 3])
def test_chances_sum_to_one_and_equal_points_have_equal_ones(count):
    pixels = points(20, 4)
    pixels[7] = pixels[2]
    pixels[11] += 100
    chances = sensitivity.chances(pixels, count, rng=Rng(3))
    assert float(chances.sum()) == pytest.approx(1, abs=1e-12)
    assert chances.min() > 0
    assert chances[7] == chances[2]
    if count == 1:  # of more, it is a centre of its own, at no distance
        assert int(chances.argmax()) == 11


@pytest.mark.parametrize("count", [1, 2])
def test_points_that_are_all_equal_have_equal_chances(count):
    chances = sensitivity.chances(torch.ones(5, 3, dtype=torch.float64), count, rng=Rng(0))
    torch.testing.assert_close(chances, torch.full((5,), 0.2, dtype=torch.float64))
