"""Fixed sets dealt into batches without end: every image before any comes again, and any batch by itself."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from distilled.dealing import Deal, places, walk


@settings(deadline=None)
@given(total=st.integers(1, 40), size=st.integers(1, 100), batches=st.integers(1, 12), key=st.text(max_size=5))
def test_every_epoch_of_a_walk_has_every_image_once(total: int, size: int, batches: int, key: str) -> None:
    walked = np.concatenate([walk(size * index, size, total=total, key=key) for index in range(batches)])
    assert len(walked) == size * batches
    for start in range(0, len(walked) - total + 1, total):
        assert sorted(walked[start : start + total].tolist()) == list(range(total))


def test_a_walk_follows_from_its_key_and_its_epoch() -> None:
    one, other = (walk(0, 50, total=50, key=key).tolist() for key in ("a", "b"))
    assert one != other != walk(50, 50, total=50, key="b").tolist()
    # Held, so that a state that is kept means the same batches under the next version.
    assert walk(15, 5, total=4, key="held").tolist() == [3, 0, 3, 2, 1]


@settings(deadline=None)
@given(images=st.integers(1, 50), classes=st.integers(1, 12), index=st.integers(0, 20))
def test_no_class_falls_behind(images: int, classes: int, index: int) -> None:
    deal = Deal(images=images, classes=classes, index=index)
    assert sum(deal.numbers) == images
    assert max(deal.numbers) - min(deal.numbers) <= 1
    after = [before + number for before, number in zip(deal.before, deal.numbers, strict=True)]
    assert after == Deal(images=images, classes=classes, index=index + 1).before
    assert max(after) - min(after) <= 1


def test_a_class_has_its_own_order_whatever_others_are_dealt() -> None:
    both = places(np.array([7, 7, 7, 2, 2, 2]), held=3, before={7: 4, 2: 0}, digest="d", seed=1)
    alone = places(np.array([2, 2, 2]), held=3, before={2: 0}, digest="d", seed=1)
    assert both[3:].tolist() == alone.tolist()
    assert Counter(both[3:].tolist()) == {0: 1, 1: 1, 2: 1}
    assert both[:3].tolist() == walk(4, 3, total=3, key="d/1/7").tolist()
