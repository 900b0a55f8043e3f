"""app/catalog.json is what the laboratory says of itself now, and says it in sentences."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.pages import ROOT
from workers.distill import catalog

CATALOG = catalog.build()


def sentences() -> Iterator[tuple[str, str]]:
    """Where each thing that can be chosen or turned is explained, and with what words."""
    schemas: dict[str, Any] = {"recipe": CATALOG["recipe"], "evaluation": CATALOG["evaluation"]}
    for table in ("parametrizations", "objectives", "penalties"):
        schemas |= {f"{table}/{kind}": declared for kind, declared in CATALOG[table].items()}
        yield from ((f"{table}/{kind}", declared["summary"]) for kind, declared in CATALOG[table].items())
    batches = CATALOG["selections"]["batches"]
    schemas |= {f"selections/batches/{name}": choice for name, choice in batches.items()}
    for where, declared in schemas.items():
        for name, item in declared["schema"]["properties"].items():
            yield f"{where}/{name}", item["description"]
    for slot, choices in CATALOG["selections"].items():
        yield from ((f"selections/{slot}/{name}", choice["summary"]) for name, choice in choices.items())
    yield from ((f"networks/{name}", family["summary"]) for name, family in CATALOG["networks"].items())
    yield from ((f"presets/{name}", preset["summary"]) for name, preset in CATALOG["presets"].items())


def test_the_file_is_current() -> None:
    written = (ROOT / catalog.PATH).read_text(encoding="utf-8")
    assert written == catalog.dumps(CATALOG), "run: make catalog"


@pytest.mark.parametrize(("where", "words"), list(sentences()), ids=[where for where, _ in sentences()])
def test_everything_is_explained_in_a_sentence(where: str, words: str) -> None:
    assert words == words.strip()
    assert len(words.split()) >= 2 or where == "recipe/base_artifact", where


def test_each_source_names_its_paper() -> None:
    for kind, declared in (CATALOG["objectives"] | CATALOG["penalties"]).items():
        assert declared["source"], kind
    for name, preset in (CATALOG["presets"] | CATALOG["penalties"]).items():
        assert set(preset["paper"]) == {"title", "authors", "venue", "year", "url"}, name
        assert all(preset["paper"].values()), name
