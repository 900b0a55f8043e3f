"""A finished set of an artifact as a file, for whoever serves one: downloads, the Hugging Face door, Croissant.

Made when it is asked for and kept, so that a range or a second download costs no drawing and no encoding.
"""

import hashlib
import json
from collections.abc import Sequence

from app.artifacts.content import Content
from app.samples.choosing import Amount, per_class
from app.samples.drawing import draw, encoded, held
from app.services import Services
from distilled import __version__
from distilled.formats.sets import MEDIA_TYPES, SUFFIXES
from registry.models import Artifact


def export(
    services: Services,
    artifact: Artifact,
    *,
    format: str,
    ipc: int | None = None,
    classes: Sequence[int] | None = None,
) -> Content:
    """A finished set in stored order: the same question has the same bytes for an answer.

    format: one of `FORMATS`. ipc: images of each class; None for all that a fixed set holds, or a generator's budget.
    classes: their indices, in the order wanted; None for all. Raises InvalidRequest, pointing at `/query/…`.
    """
    chosen = list(range(artifact.num_classes) if classes is None else classes)

    def make() -> bytes:
        number = held(services, artifact)
        wanted = artifact.ipc if ipc is None and number is None else ipc
        deal = per_class(Amount(ipc=wanted), artifact, classes=len(chosen), held=number)
        return encoded(draw(services, artifact, classes=chosen, deal=deal), format=format)

    # Another version may write other bytes for the same set.
    question = json.dumps([__version__, artifact.digest, format, ipc, chosen])
    return services.exports.content(
        hashlib.sha256(question.encode()).hexdigest(),
        make,
        media_type=MEDIA_TYPES[format],
        filename=f"{artifact.id}{'' if ipc is None else f'-ipc{ipc}'}{SUFFIXES[format]}",
    )
