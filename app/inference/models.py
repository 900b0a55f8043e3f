"""An artifact as a model of the Open Inference Protocol: labels or mixtures of classes go in, images come out."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.inference.questions import Question, question
from app.inference.schemas import ModelMetadata, TensorMetadata
from app.inference.wire import InferRequest, RequestedOutput, encode
from app.samples.drawing import mixes, seed_or_drawn
from app.services import Services
from distilled.formats.sets import SyntheticSet
from registry.models import Artifact

PLATFORM = "distilled"
#: Numbers that the images of one answer may have, which bounds the memory they are drawn in: 2 GiB as floats.
MAX_VALUES = 2**29
#: Numbers that one answer may spell out in JSON: up to some 40 MB of text.
MAX_JSON_VALUES = 2**21


def metadata(services: Services, artifact: Artifact, *, name: str) -> ModelMetadata:
    """The model's inputs and outputs. Images are described as they are by default; soft labels where there are any."""
    classes, (channels, height, width) = artifact.num_classes, artifact.header["space"]["shape"]
    can_mix = mixes(services, artifact)
    inputs = [TensorMetadata(name="labels", datatype="INT64", shape=[-1])]
    outputs = [
        TensorMetadata(name="images", datatype="UINT8", shape=[-1, height, width, channels]),
        TensorMetadata(name="labels", datatype="INT64", shape=[-1]),
    ]
    if can_mix:
        inputs.append(TensorMetadata(name="mix", datatype="FP32", shape=[-1, classes]))
    if can_mix or artifact.header["config"].get("labels") == "soft":
        outputs.append(TensorMetadata(name="soft_labels", datatype="FP32", shape=[-1, classes]))
    inputs.append(TensorMetadata(name="seed", datatype="INT64", shape=[1]))
    return ModelMetadata(name=name, versions=[artifact.digest], platform=PLATFORM, inputs=inputs, outputs=outputs)


def infer(services: Services, artifact: Artifact, asked: InferRequest, *, name: str) -> tuple[bytes, dict[str, str]]:
    """The body of the answer, and its headers. The same seed gives the same images as `GET …/samples`.

    Without a seed one is drawn and told in `parameters`. Raises InvalidRequest, NotHeld.
    """
    wanted = question(asked, num_classes=artifact.num_classes)
    _check_size(asked, wanted, artifact)
    seed = seed_or_drawn(wanted.seed)
    drawn = _draw(services, artifact, wanted, seed=seed)
    document: dict[str, Any] = {"model_name": name, "model_version": artifact.digest}
    if asked.id is not None:
        document["id"] = asked.id
    document["parameters"] = {"seed": seed}
    return encode(document, list(_tensors(asked, drawn)))


def _draw(services: Services, artifact: Artifact, wanted: Question, *, seed: int) -> SyntheticSet:
    def read() -> bytes:
        return services.store.get(artifact.digest)

    if wanted.labels is not None:
        return services.sampler.draw(artifact.digest, read, labels=wanted.labels, seed=seed, dtype=wanted.dtype)
    if not mixes(services, artifact):
        detail = f"an artifact of kind `{artifact.kind}` holds finished images and cannot mix classes; give `labels`"
        raise InvalidRequest.at("/inputs/mix", detail)
    weights, ones = wanted.weights or [], [1] * wanted.count
    return services.sampler.mix(artifact.digest, read, weights=weights, counts=ones, seed=seed, dtype=wanted.dtype)


def _tensors(asked: InferRequest, drawn: SyntheticSet) -> Iterator[tuple[str, NDArray[Any], bool]]:
    """Each tensor that is wanted, in the order wanted, and whether it goes as bytes."""
    made: dict[str, NDArray[Any]] = {"images": drawn.images, "labels": drawn.labels_N}
    if drawn.soft_labels is not None:
        made["soft_labels"] = drawn.soft_labels
    outputs = asked.outputs or {one: RequestedOutput(name=one, binary=asked.binary, parameters={}) for one in made}
    for output in outputs.values():
        if output.name not in made:
            detail = f"there is no output {output.name[:64]!r} of this question; there are {', '.join(made)}"
            raise InvalidRequest.at("/outputs", detail)
        yield output.name, made[output.name], output.binary


def _check_size(asked: InferRequest, wanted: Question, artifact: Artifact) -> None:
    """Raise InvalidRequest where the images would be more than can be drawn at a time, or spelled out in JSON."""
    channels, height, width = artifact.header["space"]["shape"]
    image = channels * height * width
    if wanted.count * image > MAX_VALUES:
        detail = f"asks for {wanted.count} images; one answer holds {MAX_VALUES // image} of this size: ask in parts"
        raise InvalidRequest.at("/inputs", detail)
    chosen = None if asked.outputs is None else asked.outputs.get("images")
    in_json = not asked.binary if asked.outputs is None else chosen is not None and not chosen.binary
    if in_json and wanted.count * image > MAX_JSON_VALUES:
        detail = f"an answer in JSON holds {MAX_JSON_VALUES // image} images of this size; ask for binary_data"
        raise InvalidRequest.at("/outputs", detail)
