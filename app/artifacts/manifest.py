"""The manifest of an artifact: its file's own header, and what the registry has learnt since."""

from collections.abc import Sequence

from app.artifacts.schemas import ArtifactRead, Budget, EvaluationRead, Lineage, Manifest, Normalisation
from registry.models import Artifact, Evaluation


def manifest(artifact: Artifact, *, evaluations: Sequence[Evaluation], aliases: Sequence[str]) -> Manifest:
    """All that is known of an artifact, in one document."""
    header = artifact.header
    budget = header.get("budget", {})
    images = budget.get("images")
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
            images_per_class=None if images is None else images // artifact.num_classes,
        ),
        lineage=Lineage(
            job_id=artifact.job_id,
            dataset=artifact.dataset,
            dataset_digest=artifact.dataset_digest,
            licence=header["dataset"].get("licence"),
            code_version=artifact.code_version,
            seed=artifact.seed,
            device=artifact.device,
        ),
        aliases=list(aliases),
        evaluations=[EvaluationRead.model_validate(row) for row in evaluations],
    )
