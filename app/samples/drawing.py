"""What all routes share that answer with images: opening an artifact, drawing from it, encoding what was drawn."""

import hashlib
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from app.artifacts.content import Content
from app.errors import InvalidRequest
from app.problems import below
from app.services import Services
from distilled.dealing import Deal
from distilled.formats.sets import MEDIA_TYPES, SUFFIXES, SyntheticSet, UnsuitableSet, encode
from registry.models import Artifact

#: A seed that is drawn stays exact in every client, JavaScript's included.
DRAWN_SEEDS = 2**53


def held(services: Services, artifact: Artifact) -> int | None:
    """Images that the artifact holds of each class; None where it serves any number."""
    return services.sampler.per_class(artifact.digest, lambda: services.store.get(artifact.digest))


def seed_or_drawn(seed: int | None) -> int:
    """The seed that was given, or one that was not used before."""
    return secrets.randbelow(DRAWN_SEEDS) if seed is None else seed


def draw(
    services: Services,
    artifact: Artifact,
    *,
    classes: Sequence[int],
    deal: Deal,
    seed: int | None = None,
    dtype: str = "uint8",
) -> SyntheticSet:
    """Images of these classes as they are dealt, class after class; without a seed in stored order."""
    labels = [k for k, number in zip(classes, deal.numbers, strict=True) for _ in range(number)]
    return services.sampler.draw(
        artifact.digest,
        lambda: services.store.get(artifact.digest),
        labels=labels,
        seed=seed,
        index=deal.index,
        before=dict(zip(classes, deal.before, strict=True)),
        dtype=dtype,
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


def encoded(synthetic: SyntheticSet, *, format: str) -> bytes:
    """The set as a file of this format. Raises InvalidRequest where the format cannot hold it."""
    with suited():
        return encode(synthetic, format=format)


@contextmanager
def suited() -> Generator[None]:
    """Turns what a format cannot hold into an InvalidRequest that names the parameter."""
    try:
        yield
    except UnsuitableSet as error:
        raise InvalidRequest(below("/query", error.problems)) from error


def as_content(synthetic: SyntheticSet, *, format: str, stem: str) -> Content:
    """The set as a file of this format, to be served. Raises InvalidRequest where the format cannot hold it."""
    content = encoded(synthetic, format=format)
    return Content.of(
        content,
        digest=hashlib.sha256(content).hexdigest(),
        media_type=MEDIA_TYPES[format],
        filename=f"{stem}{SUFFIXES[format]}",
    )
