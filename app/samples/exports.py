"""A finished set of an artifact as a file, for whoever serves one: downloads, the Hugging Face door, Croissant."""

from collections.abc import Sequence

from app.artifacts.content import Content
from app.samples.choosing import Amount, per_class
from app.samples.drawing import as_content, draw, held
from app.services import Services
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
    chosen = range(artifact.num_classes) if classes is None else classes
    number = held(services, artifact)
    wanted = artifact.ipc if ipc is None and number is None else ipc
    numbers = per_class(Amount(ipc=wanted), artifact, classes=len(chosen), held=number)
    drawn = draw(services, artifact, classes=chosen, numbers=numbers)
    return as_content(drawn, format=format, stem=f"{artifact.id}-ipc{max(numbers)}")
