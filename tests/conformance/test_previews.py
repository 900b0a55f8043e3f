"""`preview.png`: a contact sheet, a class a row."""

import struct

import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import SIDE
from tests.conformance.wire import Wire


def size(wire: Wire, made: Made, query: str) -> tuple[int, int]:
    """Width and height of the sheet, as its own header says."""
    answer = wire.ok("GET", f"{made.path}/preview.png?{query}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", answer.content[16:24])


def test_a_row_is_a_class_and_a_column_an_image(wire: Wire, images: Made) -> None:
    wide, high = size(wire, images, "scale=4")
    one_row = size(wire, images, "scale=4&classes=dog")
    one_column = size(wire, images, "scale=4&columns=1")
    assert one_row[0] == wide
    assert one_row[1] < high
    assert (one_column[0] < wide, one_column[1]) == (True, high)
    assert wide >= 3 * SIDE * 4
    assert high >= 2 * SIDE * 4


def test_scale_enlarges(wire: Wire, images: Made) -> None:
    small, large = (size(wire, images, f"scale={scale}") for scale in (1, 8))
    assert large[0] > 4 * small[0]


def test_a_generator_has_a_sheet_too(wire: Wire, generator: Made) -> None:
    assert size(wire, generator, "columns=5&scale=1")[0] >= 5 * SIDE


@pytest.mark.parametrize("query", ["columns=0", "columns=1000", "scale=0", "scale=65", "classes=cow"])
def test_what_cannot_be_drawn_is_refused(wire: Wire, images: Made, query: str) -> None:
    assert wire.pointers("GET", f"{images.path}/preview.png?{query}") == [f"/query/{query.partition('=')[0]}"]
