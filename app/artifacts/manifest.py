"""The manifest of an artifact: its file's own header, and what the registry has learnt since."""

from collections.abc import Sequence

from app.artifacts.schemas import (
    ArtifactRead,
    Budget,
    EvaluationRead,
    Lineage,
    Manifest,
    Normalisation,
    Serves,
    SummaryRead,
)
from app.samples.choosing import MAX_IMAGES
from distilled import transfer
from registry.models import Artifact, Evaluation


def manifest(artifact: Artifact, *, evaluations: Sequence[Evaluation], aliases: Sequence[str]) -> Manifest:
    """All that is known of an artifact, in one document."""
    header = artifact.header
    budget = header.get("budget", {})
    images = budget.get("images")
    measured = [EvaluationRead.model_validate(row) for row in evaluations]
    seen = transfer.seen_networks(header["recipe"])
    means = transfer.summaries([row.model_dump() for row in measured], seen=seen)
    held = None if images is None else images // artifact.num_classes
    return Manifest(
        **ArtifactRead.model_validate(artifact).model_dump(),
        shape=header["space"]["shape"],
        normalisation=Normalisation(mean=header["space"]["mean"], std=header["space"]["std"]),
        config=header["config"],
        recipe=header["recipe"],
        budget=Budget(
            ipc=artifact.ipc,
            bytes=artifact.payload_bytes,
            floats=budget.get("floats"),
            images_per_class=held,
        ),
        serves=_serves(artifact, held=held),
        lineage=Lineage(
            job_id=artifact.job_id,
            dataset=artifact.dataset,
            dataset_digest=artifact.dataset_digest,
            licence=header["dataset"].get("licence") or None,
            code_version=artifact.code_version,
            seed=artifact.seed,
            device=artifact.device,
            base=header.get("base"),
        ),
        aliases=list(aliases),
        evaluations=measured,
        seen_networks=seen,
        summary=[SummaryRead.model_validate(mean) for mean in means],
    )


def _serves(artifact: Artifact, *, held: int | None) -> Serves:
    most = MAX_IMAGES // artifact.num_classes
    most = most if held is None else min(held, most)
    train = artifact.train_images
    ratio = min(1.0, most * artifact.num_classes / train) if train else None
    return Serves(images_per_class=most, ratio=ratio)
