"""The data card: what it says, that it is YAML and Markdown whatever the names in it, and which configs there are."""

import io
import json
import re
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.hub.card import plain
from app.hub.metadata import licence_id
from app.services import Services
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from registry import artifacts, evaluations
from tests.unit.app.conftest import CLASSES, Published, artifact_file, memory_file, publish
from tests.unit.app.test_generators import file as generator_file


def readme(client: TestClient, published: Published) -> str:
    response = client.get(f"/hf/datasets/distilled/{published.id}/resolve/main/README.md")
    assert response.status_code == 200, response.text
    return response.text


def split(card: str) -> tuple[dict[str, Any], str]:
    """The YAML and the text."""
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", card, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def score(mean: float, std: float = 0.01) -> dict[str, Any]:
    return {"mean": mean, "std": std, "values": [mean - std, mean + std]}


def measure(services: Services, published: Published, network: str, distilled: dict[str, Any]) -> None:
    """Ask for an evaluation on a network, and end it."""
    with services.database.write() as session:
        row = evaluations.queue(
            session,
            artifacts.get(session, published.id),
            networks=[network],
            config={"repeats": 2, "steps": 10},
            seed=0,
            request_id="r",
        )[0]
        claim = evaluations.claim(session, row.id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        beside = {"random": score(0.5), "centroid": score(0.6), "full": score(0.9, 0.002)}
        evaluations.finish(session, row.id, attempt=claim.attempt, result={"distilled": distilled, **beside})


def grey_and_alpha() -> tuple[bytes, dict[str, Any]]:
    """An artifact whose images are no pictures: two channels."""
    _, header = artifact_file(held=1)
    space = ImageSpace(shape=(2, 4, 4), mean=(0.5, 0.5), std=(0.2, 0.2), classes=CLASSES)
    made = Images(Images.Config(), space=space, images_NCHW=torch.zeros(3, 2, 4, 4))
    header |= {"space": space.to_json()}
    return pack(made, header), header


@pytest.mark.parametrize(
    ("file", "sizes", "default"),
    [
        (lambda: artifact_file(held=1), [1], 1),
        (lambda: artifact_file(held=3), [1, 3], 3),
        (lambda: artifact_file(held=10), [1, 10], 10),
        (lambda: artifact_file(held=12, labels="soft"), [1, 10, 12], 12),
        (lambda: artifact_file(held=60), [1, 10, 50, 60], 60),
        (lambda: artifact_file(held=1, classes=tuple(f"c{i}" for i in range(300))), [1], 1),
        (memory_file, [1, 5], 5),
        (generator_file, [1, 4, 10, 50], 4),
        (lambda: generator_file(labels="soft"), [1, 4, 10, 50], 4),
        (grey_and_alpha, [], None),
    ],
)
def test_a_config_for_each_size_that_the_artifact_gives(
    client: TestClient, services: Services, file: Any, sizes: list[int], default: int | None
) -> None:
    published = publish(services, file=file())
    front, _ = split(readme(client, published))
    configs = front.get("configs", [])
    assert [config["config_name"] for config in configs] == [f"ipc{size}" for size in sizes]
    assert [config["config_name"] for config in configs if config.get("default")] == [f"ipc{default}"] * bool(default)
    listed = client.get(f"/hf/api/datasets/distilled/{published.id}").json()["siblings"]
    parquet = [f"ipc{size}/train-00000-of-00001.parquet" for size in sorted(sizes, key=str)]
    assert [one["rfilename"] for one in listed if one["rfilename"].endswith("parquet")] == parquet
    for path, told in zip(
        parquet, sorted(front.get("dataset_info", []), key=lambda one: one["config_name"]), strict=True
    ):
        if "50" in path or "60" in path:
            continue
        content = client.get(f"/hf/datasets/distilled/{published.id}/resolve/main/{path}").content
        schema = pq.read_schema(io.BytesIO(content))
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert [column["name"] for column in told["features"]] == list(features) == schema.names
        names = told["features"][1]["dtype"]["class_label"]["names"]
        assert [names[str(i)] for i in range(len(names))] == features["label"]["names"]
        assert (told["features"][2:] == [{"name": "soft_label", "list": "float32"}]) == ("soft_label" in features)


def test_a_size_with_too_many_images_to_list_is_left_out(client: TestClient, services: Services) -> None:
    many = tuple(f"c{i}" for i in range(1001))
    front, _ = split(readme(client, publish(services, file=memory_file(classes=many, rows=11))))
    assert [config["config_name"] for config in front["configs"]] == ["ipc1", "ipc11"]


def test_the_card_says_what_it_is_worth_and_how_it_was_made(client: TestClient, services: Services) -> None:
    published = publish(services, file=artifact_file(labels="soft"))
    assert "It has not been evaluated." in readme(client, published)
    measure(services, published, "convnet3", {"hard": score(0.7), "soft": score(0.75, 0.02)})
    measure(services, published, "mlp", {"hard": score(0.5), "soft": score(0.65, 0.02)})
    front, body = split(readme(client, published))
    lines = body.splitlines()
    assert "| network | labels | distilled | random | centroid | full |" in lines
    assert "| convnet3 (*seen*) | hard | 70.0 ± 1.0 | 50.0 ± 1.0 | 60.0 ± 1.0 | 90.0 ± 0.2 |" in lines
    assert "| convnet3 (*seen*) | soft | 75.0 ± 2.0 | 50.0 ± 1.0 | 60.0 ± 1.0 | 90.0 ± 0.2 |" in lines
    assert "| mlp | hard | 50.0 ± 1.0 | 50.0 ± 1.0 | 60.0 ± 1.0 | 90.0 ± 0.2 |" in lines
    assert any(line.startswith("| mean of all | soft | 70.0 ± ") for line in lines)
    assert "Trained with: repeats 2, steps 10." in lines
    assert f"{len(published.content)} bytes" in body
    assert f"sha256 `{published.digest}`" in body
    assert "digest `" + "d" * 64 + "`" in body
    for fact in ("| seed | 0 |", "| device | cpu |", "| code version | 0 |", "| method | dm |", "- digits: CC BY 4.0"):
        assert fact in lines
    assert f'load_dataset("distilled/{published.id}", "ipc3", split="train", revision="{published.digest}")' in body
    assert '     "objective": {' in lines
    assert front["license"] == "cc-by-4.0"
    assert front["tags"] == ["dataset-distillation", "images", "dm"]
    assert front["size_categories"] == ["n<1K"]


def test_new_images_at_each_step_are_told_apart(client: TestClient, services: Services) -> None:
    published = publish(services, file=generator_file())
    measure(services, published, "convnet3", {"hard": score(0.7), "fresh": score(0.8), "bytes": 1, "images": 1})
    lines = readme(client, published).splitlines()
    assert any("| hard | 70.0 ± 1.0 |" in line for line in lines)
    assert any("| hard, new images at each step | 80.0 ± 1.0 |" in line for line in lines)
    assert "any number can be drawn of it." in readme(client, published)


@pytest.mark.parametrize(
    ("licence", "known"),
    [
        ("MIT", "mit"),
        ("CC BY-SA 3.0", "cc-by-sa-3.0"),
        ("CC0 1.0", "cc0-1.0"),
        (None, "unknown"),
        ("", "unknown"),
        ("non-commercial use only", "other"),
        ("none stated by its authors; cite Krizhevsky 2009", "other"),
    ],
)
def test_licences_have_the_hubs_ids(licence: str | None, known: str) -> None:
    assert licence_id(licence) == known


def test_a_continued_memory_has_the_licences_of_all_it_was_made_from(client: TestClient, services: Services) -> None:
    content, header = memory_file()
    parts = [{"name": "svhn", "digest": "a" * 64, "licence": "non-commercial use only", "classes": 2}]
    header |= {"base": {"digest": "b" * 64, "datasets": parts}}
    front, body = split(readme(client, publish(services, file=(content, header))))
    assert front["license"] == ["other", "cc-by-4.0"]
    assert front["license_name"] == "non-commercial-use-only"
    assert front["source_datasets"] == ["extended|svhn", "extended|digits"]
    assert "- svhn: non-commercial use only" in body
    assert f"| continues | `{'b' * 64}` |" in body


NAMES = ("x\n---\ny", "a: b", "'", '"', "- c", "<script>alert(1)</script>", "|", "`", "é😀", "null", "1", "*x*", " a ")


def test_names_of_others_break_neither_yaml_nor_markdown(client: TestClient, services: Services) -> None:
    content, header = artifact_file(classes=NAMES, held=1)
    header |= {"dataset": {"name": "a|b\n# <b>", "digest": "d" * 64, "licence": "</td> *mine*\n---"}}
    front, body = split(readme(client, publish(services, file=(content, header))))
    names = front["dataset_info"][0]["features"][1]["dtype"]["class_label"]["names"]
    assert [names[str(i)] for i in range(len(NAMES))] == list(NAMES)
    assert front["source_datasets"] == ["extended|a|b\n# <b>"]
    assert front["license_name"] == "td-mine"
    unescaped = body.replace("\\<", "")
    for raw in ("<script", "<b>", "</td>", "\n---\n", "\n# <"):
        assert raw not in unescaped


@given(st.text())
def test_text_of_others_is_one_line_without_markup(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert shown.count("|") == shown.count("\\|")
    assert shown.count("<") == shown.count("\\<")
    assert shown.replace("\\", "") == " ".join(text.split()).replace("\\", "")
