"""An artifact as Croissant describes data sets (MLCommons, version 1.1): what it is, which files hold it, its records.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. A function of what never changes, and of where the
service is: no accuracy, no alias.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.artifacts.content import Content
from app.croissant.context import CONFORMS_TO, CONTEXT
from app.hub.metadata import licence_id
from distilled import continuing
from registry.models import Artifact

Json = dict[str, Any]

WEIGHTS, IMAGES = "artifact.safetensors", "images.parquet"
#: Licences by the Hub's id whose page at SPDX has another name than the id in capitals.
SPDX = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
}


def croissant(
    artifact: Artifact,
    *,
    base: str,
    images: Content | None,
    images_url: str,
    paper: Mapping[str, Any] | None = None,
    homepages: Mapping[str, str] | None = None,
) -> Json:
    """The description, JSON-LD.

    base: the service's address, without a slash at its end. images: the set as Parquet, whose address below the service
    is `images_url`; None where its images are no pictures. paper: of the method (`title`, `authors`, `venue`, `year`,
    `url`). homepages: of data sets it was made from, by name in lower case.
    """
    parts = continuing.parts(artifact.header)
    about = f"{base}/v1/artifacts/{artifact.id}"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"{artifact.dataset}-distilled",
        "alternateName": artifact.id,
        "description": _description(artifact),
        "url": about,
        "identifier": f"sha256:{artifact.digest}",
        "version": f"1.0.0+{artifact.digest[:12]}",
        "datePublished": artifact.created_at.date().isoformat(),
        "isLiveDataset": False,
        "license": list(dict.fromkeys(_licence(part.get("licence")) for part in parts)),
        "creator": {"@type": "sc:Organization", "name": "distilled", "url": base},
        "keywords": ["dataset distillation", "image classification", artifact.kind, *filter(None, [artifact.method])],
        "citeAs": "\n".join(_bibtex(artifact, about, paper)),
        "isBasedOn": [_source(part, homepages or {}) for part in parts],
        **({"citation": _paper(paper)} if paper else {}),
        "distribution": [
            _file(WEIGHTS, f"{about}/content", "application/octet-stream", artifact.digest, artifact.content_bytes),
            *(
                [_file(IMAGES, base + images_url, "application/x-parquet", images.digest, images.size)]
                if images is not None
                else []
            ),
        ],
        **({"recordSet": [_classes(artifact), _records(artifact)]} if images is not None else {}),
    }


def _description(artifact: Artifact) -> str:
    channels, height, width = artifact.header["space"]["shape"]
    names = artifact.header["classes"]
    shown = ", ".join(names[:20]) + (f" … ({len(names)} in all)" if len(names) > 20 else "")
    return (
        f"A small synthetic set of images to train on in place of those of {artifact.dataset}, stored as "
        f"`{artifact.kind}` in {artifact.payload_bytes} bytes. Images of {height} × {width} pixels in {channels} "
        f"channels, of the classes {shown}. The address is that of its manifest: how it was made, and its accuracy "
        "beside baselines."
    )


def _bibtex(artifact: Artifact, url: str, paper: Mapping[str, Any] | None) -> Iterator[str]:
    """The set itself, and the paper of the method it was made by."""
    own = {"title": f"{artifact.dataset}, distilled", "year": artifact.created_at.year}
    yield _entry("misc", artifact.id, {**own, "note": f"sha256 {artifact.digest}", "url": url})
    if paper:
        authors = " and ".join(name.strip() for name in paper["authors"].split(","))
        fields = {"title": paper["title"], "author": authors, "booktitle": paper["venue"], "year": paper["year"]}
        yield _entry("inproceedings", str(artifact.method), {**fields, "url": paper["url"]})


def _entry(kind: str, key: str, fields: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name}={{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key}, {said}}}"


def _paper(paper: Mapping[str, Any]) -> Json:
    return {
        "@type": "sc:ScholarlyArticle",
        "name": paper["title"],
        "author": [{"@type": "sc:Person", "name": name.strip()} for name in paper["authors"].split(",")],
        "datePublished": str(paper["year"]),
        "url": paper["url"],
    }


def _source(part: Mapping[str, Any], homepages: Mapping[str, str]) -> Json:
    """A data set that it was made from."""
    homepage = homepages.get(str(part["name"]).lower())
    return {
        "@type": "sc:Dataset",
        "name": part["name"],
        "identifier": f"sha256:{part['digest']}",
        "license": _licence(part.get("licence")),
        **({"url": homepage} if homepage else {}),
    }


def _licence(said: str | None) -> str:
    """A licence as SPDX's page on it where there is one, else in the words of the data's authors."""
    known = licence_id(said)
    if known in ("other", "unknown"):
        return said or "unknown"
    return f"https://spdx.org/licenses/{SPDX.get(known, known.upper())}.html"


def _file(name: str, url: str, media_type: str, digest: str, size: int) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": url,
        "contentSize": f"{size} B",
        "encodingFormat": media_type,
        "sha256": digest,
    }


def _classes(artifact: Artifact) -> Json:
    """The classes by index, which the images' labels refer to."""
    names: Sequence[str] = artifact.header["classes"]
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes, by the index that is their label.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/index"},
        "field": [
            {"@type": "cr:Field", "@id": "classes/index", "name": "index", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": "classes/name", "name": "name", "dataType": "sc:Text"},
        ],
        "data": [{"classes/index": index, "classes/name": name} for index, name in enumerate(names)],
    }


def _records(artifact: Artifact) -> Json:
    """The images with their labels."""
    fields = [
        _field("image", "sc:ImageObject", "The picture.")
        | {"source": _column("image", transform={"jsonPath": "bytes"})},
        _field("label", "sc:Integer", "Its class.") | {"references": {"field": {"@id": "classes/index"}}},
    ]
    if artifact.header["config"].get("labels") == "soft":
        shape = {"isArray": True, "arrayShape": str(artifact.num_classes)}
        fields.append(_field("soft_label", "sc:Float", "The probability of each class.") | shape)
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "The synthetic images, class after class.",
        "field": fields,
    }


def _field(name: str, kind: str, description: str) -> Json:
    field = {"@type": "cr:Field", "@id": f"images/{name}", "name": name, "description": description}
    return field | {"dataType": kind, "source": _column(name)}


def _column(name: str, **more: Any) -> Json:
    return {"fileObject": {"@id": IMAGES}, "extract": {"column": name}, **more}
