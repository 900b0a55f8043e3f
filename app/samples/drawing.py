"""What all routes share that answer with images: opening an artifact, drawing from it, encoding what was drawn."""

import hashlib
from collections.abc import Sequence

from app.artifacts.content import Content
from app.errors import InvalidRequest
from app.problems import below
from app.services import Services
from distilled.formats.sets import MEDIA_TYPES, SUFFIXES, SyntheticSet, UnsuitableSet, encode
from registry.models import Artifact


def held(services: Services, artifact: Artifact) -> int | None:
    """Images that the artifact holds of each class; None where it serves any number."""
    return services.sampler.per_class(artifact.digest, lambda: services.store.get(artifact.digest))


def draw(
    services: Services,
    artifact: Artifact,
    *,
    classes: Sequence[int],
    numbers: Sequence[int],
    seed: int | None = None,
    dtype: str = "uint8",
) -> SyntheticSet:
    """So many images of each of these classes, class after class; without a seed in stored order."""
    labels = [index for index, number in zip(classes, numbers, strict=True) for _ in range(number)]
    return services.sampler.draw(
        artifact.digest, lambda: services.store.get(artifact.digest), labels=labels, seed=seed, dtype=dtype
    )


def mix(
    services: Services,
    artifact: Artifact,
    *,
    weights: Sequence[Sequence[float]],
    counts: Sequence[int],
    seed: int | None,
    dtype: str = "uint8",
) -> SyntheticSet:
    """So many images of each mixture of classes, mixture after mixture; without a seed in stored order."""
    return services.sampler.mix(
        artifact.digest,
        lambda: services.store.get(artifact.digest),
        weights=weights,
        counts=counts,
        seed=seed,
        dtype=dtype,
    )


def mixes(services: Services, artifact: Artifact) -> bool:
    """Whether images of mixed classes can be recalled from the artifact."""
    return services.sampler.mixes(artifact.digest, lambda: services.store.get(artifact.digest))


def as_content(synthetic: SyntheticSet, *, format: str, stem: str) -> Content:
    """The set as a file of this format. Raises InvalidRequest where the format cannot hold it."""
    try:
        encoded = encode(synthetic, format=format)
    except UnsuitableSet as error:
        raise InvalidRequest(below("/query", error.problems)) from error
    return Content.of(
        encoded,
        digest=hashlib.sha256(encoded).hexdigest(),
        media_type=MEDIA_TYPES[format],
        filename=f"{stem}{SUFFIXES[format]}",
    )
