"""The interpolation strip: images on their way from one class to another, each row the same image in other mixtures."""
# Shapes: S steps, R rows, H height, W width, C channels.

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.samples.choosing import class_indices
from app.samples.drawing import held, mix, mixes
from app.services import Services
from registry.models import Artifact

#: Images that are followed where it is not said how many.
ROWS = 3


def strip(
    services: Services, artifact: Artifact, *, between: Sequence[str], columns: int, rows: int | None
) -> list[NDArray[np.uint8]]:
    """bytes_SHWC of each of `rows` images: all of the first class at the left, all of the second at the right.

    The r-th row is the r-th image of a mixture in stored order: row r of a memory, the r-th noise of a generator. So
    the strip begins and ends with images of the contact sheet, and is the same whenever it is asked for. Raises
    InvalidRequest.
    """
    names = artifact.header["classes"]
    if not mixes(services, artifact):
        why = "holds finished images, and there is nothing between two of them; leave `mix` out"
        raise InvalidRequest.at("/query/mix", f"an artifact of kind `{artifact.kind}` {why}")
    ends = class_indices(between, names=names, where="/query/mix")
    if len(ends) != 2:
        raise InvalidRequest.at("/query/mix", f"names {len(ends)} classes; give two, such as mix=0,1")
    if columns < 2:
        raise InvalidRequest.at("/query/columns", "a strip has a first and a last image; give at least 2")
    most = held(services, artifact)
    if most is not None and rows is not None and rows > most:
        raise InvalidRequest.at("/query/rows", f"the artifact holds {most} images of a mixture; ask for at most {most}")
    followed = rows or min(ROWS, most or ROWS)
    weights = [_between(*ends, share=step / (columns - 1), classes=len(names)) for step in range(columns)]
    drawn = mix(services, artifact, weights=weights, counts=[followed] * columns, seed=None)
    images_SRHWC = drawn.images.astype(np.uint8).reshape(columns, followed, *drawn.images.shape[1:])
    return list(images_SRHWC.swapaxes(0, 1))


def _between(first: int, last: int, *, share: float, classes: int) -> list[float]:
    weights = [0.0] * classes
    weights[first], weights[last] = 1 - share, share
    return weights
