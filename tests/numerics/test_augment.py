"""DSA: differentiable, seeded, the same for both sides where it must be, and free of clamps."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from distilled.parametrizations.base import ImageSpace
from workers.distill.augment import COLOUR_OPERATIONS, GREY_OPERATIONS, OPERATIONS, augment, operations_for


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=seeded(3), dtype=dtype)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_are_those_of_finite_differences_twice(operation, same):
    images_NCHW = noise(2, 3, 5, 4, dtype=torch.float64).requires_grad_()

    def varied(images):
        return augment(images, rng=seeded(), same=same, operations=(operation,))

    assert torch.autograd.gradcheck(varied, images_NCHW)
    assert torch.autograd.gradgradcheck(varied, images_NCHW)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_seed_gives_the_same_images_and_another_others(operation):
    images_NCHW = noise(16, 3, 8, 8)
    one, same, other = (augment(images_NCHW, rng=seeded(s), operations=(operation,)) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, images_NCHW)
    assert one.shape == images_NCHW.shape


@pytest.mark.parametrize("operation", OPERATIONS)
def test_siamese_batches_of_any_size_see_the_same_variation(operation):
    images_NCHW = noise(7, 3, 8, 8)
    whole = augment(images_NCHW, rng=seeded(5), same=True, operations=(operation,))
    part = augment(images_NCHW[:2], rng=seeded(5), same=True, operations=(operation,))
    torch.testing.assert_close(whole[:2], part)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parameters_differ_from_sample_to_sample(operation):
    alike_NCHW = noise(1, 3, 8, 8).expand(32, 3, 8, 8)
    varied = augment(alike_NCHW, rng=seeded(), operations=(operation,))
    assert any(not torch.allclose(one, varied[0]) for one in varied)
    siamese = augment(alike_NCHW, rng=seeded(), same=True, operations=(operation,))
    torch.testing.assert_close(siamese, siamese[:1].expand_as(siamese))


def test_standardised_values_are_not_clamped():
    images_NCHW = 4 * noise(64, 3, 8, 8)
    for operation in OPERATIONS:
        varied = augment(images_NCHW, rng=seeded(), operations=(operation,))
        assert varied.min() < -4, operation
        assert varied.max() > 4, operation


def test_colours_are_varied_within_their_strengths():
    grey_NCHW = torch.full((500, 3, 4, 4), 0.25)
    shift_N = (augment(grey_NCHW, rng=seeded(), operations=("colour",)) - grey_NCHW).mean((1, 2, 3))
    assert shift_N.abs().max() <= 0.5
    assert shift_N.abs().max() > 0.45
    channels = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(500, 3, 4, 4)
    contrast_N = augment(channels, rng=seeded(), operations=("colour",)).std((1, 2, 3)) / channels[0].std()
    assert contrast_N.max() <= 2.0 * 1.5
    assert contrast_N.min() < 0.1


def test_a_crop_moves_whole_pixels_and_fills_with_the_mean():
    images_NCHW = torch.arange(1.0, 65.0).view(1, 1, 8, 8).expand(200, 1, 8, 8)
    varied = augment(images_NCHW, rng=seeded(), operations=("crop",))
    for one in varied.unique(dim=0):
        values = one[one != 0]
        assert len(values) in (49, 56, 64)
        assert torch.equal(values, values.round())
    assert len(varied.unique(dim=0)) == 9


def test_a_cutout_is_at_most_a_quarter():
    varied = augment(torch.ones(300, 1, 8, 8), rng=seeded(), operations=("cutout",))
    holes_N = (varied == 0).sum((1, 2, 3))
    assert holes_N.max() == 16
    assert holes_N.min() >= 4


def test_a_flip_is_one_or_nothing():
    images_NCHW = noise(400, 1, 4, 4)
    varied = augment(images_NCHW, rng=seeded(), operations=("flip",))
    flipped_N = (varied == images_NCHW.flip(3)).all(3).all(2).all(1)
    assert torch.equal(varied[~flipped_N], images_NCHW[~flipped_N])
    assert 150 < int(flipped_N.sum()) < 250


def test_scale_and_rotation_leave_the_middle_where_it_is():
    blob_NCHW = torch.zeros(50, 1, 9, 9)
    blob_NCHW[:, :, 4, 4] = 1
    for operation in ("scale", "rotate"):
        varied = augment(blob_NCHW, rng=seeded(), operations=(operation,))
        torch.testing.assert_close(varied[:, 0, 4, 4], torch.ones(50))


@pytest.mark.parametrize(
    ("shape", "classes", "expected"),
    [
        ((1, 28, 28), ("Coat", "Bag"), GREY_OPERATIONS),
        ((3, 32, 32), ("cat", "dog"), COLOUR_OPERATIONS),
        ((3, 32, 32), ("0", "1"), ("colour", "crop", "cutout", "scale", "rotate")),
    ],
)
def test_operations_that_leave_a_class_what_it_is(shape, classes, expected):
    channels = (0.5,) * shape[0]
    assert operations_for(ImageSpace(shape=shape, mean=channels, std=channels, classes=classes)) == expected
    picked = augment(noise(2, *shape), rng=seeded())
    assert picked.shape == (2, *shape)


def test_all_operations_follow_one_another():
    images_NCHW = noise(5, 3, 8, 8)
    drawn, expected = seeded(7), images_NCHW
    for name in COLOUR_OPERATIONS:
        parameters = [torch.rand(5, generator=drawn) for _ in range(DRAWS[name])]
        expected = OPERATIONS[name](expected, given(parameters))
    varied = augment(images_NCHW, how="dsa-all", rng=seeded(7))
    torch.testing.assert_close(varied, expected)
    whole = augment(images_NCHW, how="dsa-all", rng=seeded(5), same=True)
    torch.testing.assert_close(whole[:2], augment(images_NCHW[:2], how="dsa-all", rng=seeded(5), same=True))


def test_none_changes_nothing_and_draws_nothing():
    drawn = seeded(1)
    images_NCHW = noise(2, 3, 8, 8)
    assert augment(images_NCHW, how="none", rng=drawn) is images_NCHW
    assert torch.equal(drawn.get_state(), seeded(1).get_state())


#: Random numbers that an operation draws for each image.
DRAWS = {"colour": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}


def given(shares):
    """A source of parameters that are so far between their two bounds, one call after the other."""
    left = list(shares)
    return lambda low, high: low + (high - low) * torch.as_tensor(left.pop(0)).reshape(-1)


def rotated(images_NCHW):
    return tv.rotate(images_NCHW, 9.0, interpolation=v2.InterpolationMode.BILINEAR)


def scaled(images_NCHW):
    # Sides are seen through a window 1.1 times as large: both shrink to 1/1.1.
    bilinear = v2.InterpolationMode.BILINEAR
    return tv.affine(images_NCHW, 0.0, [0, 0], 1 / 1.1, [0, 0], interpolation=bilinear)


def cropped(images_NCHW):
    # One pixel of eight at most: shares of 0.9 and 0.1 of -1, 0, 1 are one pixel up and one to the right.
    return tv.crop(tv.pad(images_NCHW, [1, 1, 1, 1]), 2, 0, 8, 8)


def cut(images_NCHW):
    return tv.erase(images_NCHW, 1, 3, 4, 4, torch.zeros(1))


LIKE_TORCHVISION = {
    "flip": ([0.2], tv.horizontal_flip),
    "rotate": ([0.8], rotated),
    "scale": ([(1.1 - 1 / 1.2) / (1.2 - 1 / 1.2)] * 2, scaled),
    "crop": ([0.9, 0.1], cropped),
    "cutout": ([3 / 8 + 0.01, 5 / 8 + 0.01], cut),
}


@pytest.mark.parametrize("name", LIKE_TORCHVISION)
def test_geometry_is_torchvisions(name):
    shares, theirs = LIKE_TORCHVISION[name]
    images_NCHW = noise(3, 3, 8, 8, dtype=torch.float64)
    ours = OPERATIONS[name](images_NCHW, given(torch.tensor(share, dtype=torch.float64) for share in shares))
    torch.testing.assert_close(ours, theirs(images_NCHW), rtol=0, atol=1e-6)
    assert not torch.allclose(ours, images_NCHW)
