"""What a user does with `mlcroissant`, unmodified, printing JSON: `python croissants.py URL…`, each of a description.

A process of its own: it keeps downloads below HOME, reads its credentials from the environment and from ~/.netrc, and
brings pandas and rdflib.
"""

import json
import sys
from typing import Any

import mlcroissant
from absl import logging

#: All that the library has to say about a description that it takes.
SAID: list[str] = []


def shown(value: Any) -> Any:
    """A field's value as JSON: a picture by its size, mode and pixels."""
    if hasattr(value, "tobytes"):
        return [*value.size, value.mode, value.tobytes().hex()]
    return [float(one) for one in value] if isinstance(value, list) else value


def use(url: str) -> dict[str, Any]:
    dataset = mlcroissant.Dataset(jsonld=url)
    metadata = dataset.metadata
    sets = [one.id for one in metadata.record_sets]
    return {
        "errors": sorted(metadata.ctx.issues.errors),
        "warnings": sorted(metadata.ctx.issues.warnings),
        "name": metadata.name,
        "version": metadata.version,
        "license": metadata.license,
        "cite": metadata.cite_as,
        "files": {one.id: [one.content_url, one.sha256, one.content_size] for one in metadata.file_objects},
        "again": metadata.to_json()["conformsTo"],
        "records": {
            name: [{key: shown(value) for key, value in row.items()} for row in dataset.records(name)] for name in sets
        },
    }


if __name__ == "__main__":
    logging.warning = lambda message, *values: SAID.append(str(message))
    json.dump({"of": [use(url) for url in sys.argv[1:]], "said": SAID}, sys.stdout)
