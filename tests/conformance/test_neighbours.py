"""`neighbours`: the real training image that lies nearest to each of an artifact's."""

import base64

import numpy as np
import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES, SIDE, TRAIN
from tests.conformance.wire import Wire


def test_each_image_has_a_real_neighbour_of_its_class(wire: Wire, images: Made) -> None:
    told = wire.get(f"{images.path}/neighbours?ipc=2")
    assert (told["available"], told["reason"]) == (True, None)
    assert [(item["class"], item["place"]) for item in told["items"]] == [(name, i) for name in CLASSES for i in (0, 1)]
    for item in told["items"]:
        assert 0 <= item["index"] < TRAIN
        assert item["rms"] == pytest.approx(np.sqrt(item["distance"] / SIDE**2))
        assert base64.b64decode(item["png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert wire.get(f"{images.path}/neighbours?ipc=1&classes=dog")["items"] == told["items"][2:3]


@pytest.mark.parametrize("query", ["ipc=0", "ipc=1000", "classes=cow", "seed=-1"])
def test_what_no_image_can_be_is_refused(wire: Wire, images: Made, query: str) -> None:
    assert wire.pointers("GET", f"{images.path}/neighbours?{query}") == [f"/query/{query.partition('=')[0]}"]
