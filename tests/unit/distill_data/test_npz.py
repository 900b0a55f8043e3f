"""Good files: facts, digest and arrays are those of the content, however it was saved."""

import tracemalloc

import numpy as np
import pytest

from distilled import npz
from tests.unit.distill_data.npzs import arrays, saved


def test_facts_of_a_colour_set(tmp_path):
    content = arrays()
    facts = npz.inspect(saved(tmp_path / "a.npz"))
    pixels = content["train_images"] / 255
    assert facts.shape == (3, 8, 8)
    assert facts.classes == ("0", "1", "2")
    assert facts.train_counts == (4, 4, 4)
    assert facts.test_counts == (2, 2, 2)
    assert facts.val_counts is None
    np.testing.assert_allclose(facts.mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(facts.std, pixels.std((0, 1, 2)), rtol=1e-12)


def test_grey_images_without_a_channel_axis_and_labels_in_a_column(tmp_path):
    content = arrays(shape=(8, 8))
    path = saved(tmp_path / "a.npz", **content | {"train_labels": content["train_labels"][:, None]})
    assert npz.inspect(path).shape == (1, 8, 8)
    assert npz.read(path, "train_images").shape == (12, 8, 8, 1)
    labels = npz.read(path, "train_labels")
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, content["train_labels"])


def test_the_digest_follows_the_content_and_not_the_file(tmp_path):
    content = arrays()
    as_is = npz.inspect(saved(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", **{**content, "train_labels": content["train_labels"].astype(">u2"), "more": [1.0]})
    assert npz.inspect(tmp_path / "b.npz").digest == as_is.digest
    content["test_images"][0, 0, 0, 0] ^= 1
    assert npz.inspect(saved(tmp_path / "c.npz", **content)).digest != as_is.digest


@pytest.mark.parametrize("kind", ["U8", "S8"])
def test_class_names_as_text_or_bytes(tmp_path, kind):
    facts = npz.inspect(saved(tmp_path / "a.npz", classes=np.array(["cat", "dog", "eel"], dtype=kind)))
    assert facts.classes == ("cat", "dog", "eel")


def test_own_validation_images_are_counted(tmp_path):
    content = arrays()
    path = saved(tmp_path / "a.npz", val_images=content["test_images"][:3], val_labels=content["test_labels"][:3])
    assert npz.inspect(path).val_counts == (1, 1, 1)


def test_a_channel_without_contrast_has_a_std_of_one_grey_level(tmp_path):
    flat = arrays()["train_images"]
    flat[..., 1] = 7
    facts = npz.inspect(saved(tmp_path / "a.npz", train_images=flat))
    assert facts.std[1] == 1 / 255
    assert facts.mean[1] == pytest.approx(7 / 255)


def test_a_large_file_is_inspected_in_little_memory(tmp_path):
    content = arrays(train=3000, shape=(64, 64, 3))  # 37 MB
    path = tmp_path / "a.npz"
    np.savez(path, **content)
    expected = content["train_images"].mean((0, 1, 2)) / 255
    del content
    tracemalloc.start()
    facts = npz.inspect(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 12 * 2**20
    np.testing.assert_allclose(facts.mean, expected, rtol=1e-9)
