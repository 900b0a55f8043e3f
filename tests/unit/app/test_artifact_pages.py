"""The pages of an artifact and of two side by side: what they say without any script, and to whom they offer what."""

import html
import re

import pytest
from fastapi.testclient import TestClient

from app.gallery.markdown import rendered
from app.services import Services
from distilled.files import open_artifact, pack
from tests.unit.app.conftest import CLASSES, Published, artifact_file, evaluate, memory_file, publish
from tests.unit.app.test_generators import file as generator_file
from tests.unit.app.test_hub_card import grey_and_alpha, measure, score

BROWSER = {"Accept": "text/html"}


def get(client: TestClient, path: str, status: int = 200) -> str:
    response = client.get(path, headers=BROWSER)
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("text/html")
    return response.text


def words(text: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_page_says_what_matters(client: TestClient, services: Services, published: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    distilled = {"hard": score(0.8), "bytes": 144, "images": 9}
    measure(services, published, "mlp", distilled)
    measure(services, published, "resnet18", distilled)
    evaluate(services, published.id, accuracy=0.7)
    text = get(client, "/artifacts/best")
    said = words(text)
    for told in ("digits → dm", "best", published.id, published.digest, "images, 3 classes of 4 × 4 × 3", "it holds 3"):
        assert told in said, told
    assert f"{len(published.content):,} in its file" in said
    assert f'href="/jobs/{published.job_id}"' in text
    assert "70.0 % ± 1.0 of test images right, convnet3" in said
    assert "mlp unseen" in said
    assert "convnet3 seen" in said
    assert "random real images 50.0 ± 1.0" in said
    assert "full data 90.0 ± 0.2" in said
    assert "Mean over 2 networks: unseen mlp, resnet18" in said
    assert "CC BY 4.0" in said
    assert "How it was made" in said  # the data card
    for k, name in enumerate(CLASSES):
        assert f"<h3>{name}</h3>" in text
        assert f"/v1/artifacts/{published.id}/preview.png?classes={k}&amp;columns=3&amp;scale=1" in text


def test_each_kind_has_what_is_its_own(client: TestClient, services: Services, published: Published) -> None:
    memory = publish(services, file=memory_file())
    generator = publish(services, file=generator_file(labels="soft"))
    tabs = {
        made.id: re.findall(r'aria-controls="(\w+)"', get(client, f"/artifacts/{made.id}"))
        for made in (published, memory, generator)
    }
    common = ["results", "lineage", "files", "use", "card"]
    assert tabs[published.id] == ["images", *common]
    assert tabs[memory.id] == ["images", "memory", "mix", *common]
    assert tabs[generator.id] == ["images", "draw", "mix", *common]
    assert "any number can be drawn" in words(get(client, f"/artifacts/{generator.id}"))
    assert "soft labels" in words(get(client, f"/artifacts/{generator.id}"))


def test_the_address_says_what_is_shown(client: TestClient, services: Services, published: Published) -> None:
    path = f"/artifacts/{published.id}"
    some = get(client, f"{path}?ipc=2&classes=dog,cat&image=1-0&seed=3&count=2&per_class=500&mix=0:50&ratio=0.5")
    assert re.findall(r'data-class="(\d)"', some) == ["1", "0"]
    assert some.count("columns=2") == 2
    assert re.findall(r'data-class="(\d)"', get(client, f"{path}?classes=")) == ["0", "1", "2"]
    assert 'value="3"' in get(client, f"{path}?ipc=50")  # it holds 3
    many = publish(services, file=artifact_file(classes=tuple(f"c{i}" for i in range(120)), held=1))
    paged = get(client, f"/artifacts/{many.id}?first=50")
    assert re.findall(r'data-class="(\d+)"', paged) == [str(k) for k in range(50, 100)]
    assert "Classes 51 to 100 of 120" in paged
    assert "first=100" in paged
    for wrong, field in (("classes=cow", "/query/classes"), ("ipc=0", "/query/ipc"), ("seed=x", "/query/seed")):
        assert field in get(client, f"{path}?{wrong}", 422)
    get(client, "/artifacts/nobody", 404)


def test_a_class_is_asked_for_so_that_no_other_is_meant(client: TestClient, services: Services) -> None:
    made = publish(services, file=artifact_file(classes=("1", "0"), held=1))
    text = get(client, f"/artifacts/{made.id}")
    assert [found for found in re.findall(r"classes=(\d)&amp;columns", text)] == ["1", "0"]


def test_images_of_two_channels_are_not_shown(client: TestClient, services: Services) -> None:
    text = get(client, f"/artifacts/{publish(services, file=grey_and_alpha()).id}")
    assert "are no pictures" in text
    assert "preview.png" not in text
    assert "use-hugging-face" not in text


def test_a_deleted_one_says_so_and_can_be_taken_back(client: TestClient, published: Published) -> None:
    client.delete(f"/v1/artifacts/{published.id}")
    text = get(client, f"/artifacts/{published.id}")
    assert "This artifact was deleted" in text
    assert 'id="restore"' in text
    get(client, f"/artifacts/{published.id}/compare", 404)
    client.post(f"/v1/artifacts/{published.id}/restore")
    assert "was deleted" not in get(client, f"/artifacts/{published.id}")


def test_what_did_not_work_is_told(client: TestClient, services: Services, published: Published) -> None:
    assert "Not measured yet" in get(client, f"/artifacts/{published.id}")
    client.post(f"/v1/artifacts/{published.id}/evaluations", json={"networks": ["mlp"]})
    assert "mlp unseen queued" in words(get(client, f"/artifacts/{published.id}"))


@pytest.mark.parametrize(
    "evil",
    ["<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil.test/x.png)", "<img src=x onerror=y>"],
)
def test_nothing_in_a_card_runs_or_comes_from_elsewhere(evil: str) -> None:
    shown = str(rendered(f"# Title\n\n{evil}\n\n| a | b |\n|---|---|\n| {evil} | c |\n"))
    assert "<h2>Title</h2>" in shown
    assert "<table>" in shown
    assert "<script" not in shown
    assert "<img" not in shown
    assert 'href="javascript' not in shown


def test_two_are_set_side_by_side(client: TestClient, services: Services, published: Published) -> None:
    client.put("/v1/aliases/old", json={"artifact_id": published.id})
    other = publish(services, seed=1, held=2)
    evaluate(services, published.id, accuracy=0.7)
    evaluate(services, other.id, accuracy=0.75)
    text = get(client, f"/artifacts/old/compare/{other.id}")
    said = words(text)
    rows = re.findall(r'<tr class="(differs|)"><th scope="row">([^<]+)</th>', text)
    marks = [mark for mark, _ in rows]
    assert marks == sorted(marks, reverse=True), "what differs stands first"
    assert ("differs", "seed") in rows
    assert ("", "data set") in rows
    assert "convnet3 seen by both hard 70.0 75.0 +5.0" in said
    assert text.count("columns=2&amp;scale=1") == 2 * len(CLASSES)
    assert "seed 0 1" in said.partition("Lineage: what differs")[2] or "seed" in said
    assert f'href="/artifacts/{other.id}/compare/old"' in text
    assert "one and the same" in get(client, f"/artifacts/old/compare/{published.id}")


def test_what_cannot_be_compared_says_why(client: TestClient, services: Services, published: Published) -> None:
    packed, header = memory_file(classes=("cat", "cow"))
    header |= {"dataset": {"name": "mnist", "digest": "f" * 64, "licence": ""}}
    other = publish(services, file=(pack(open_artifact(packed).parametrization, header), header))
    said = words(get(client, f"/artifacts/{published.id}/compare/{other.id}"))
    assert "made from different data" in said
    assert "Only A holds dog, a,b" in said
    assert "Only B holds cow" in said


def test_the_other_one_is_chosen(client: TestClient, services: Services, published: Published) -> None:
    other = publish(services, seed=1)
    client.put("/v1/aliases/other", json={"artifact_id": other.id})
    text = get(client, f"/artifacts/{published.id}/compare")
    assert f'href="/artifacts/{published.id}/compare/{other.id}"' in text
    assert f'href="/artifacts/{published.id}/compare/{published.id}"' not in text
    led = client.get(f"/artifacts/{published.id}/compare?other=other", follow_redirects=False)
    assert (led.status_code, led.headers["location"]) == (303, f"/artifacts/{published.id}/compare/other")
    get(client, f"/artifacts/{published.id}/compare?other=nobody", 404)
    get(client, f"/artifacts/{published.id}/compare/nobody", 404)


def snippet(text: str, slug: str) -> str:
    found = re.search(rf'id="use-{slug}"[^>]*>(.*?)</code>', text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_lines_to_paste_have_the_right_names(client: TestClient, published: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    text = get(client, "/artifacts/best")
    assert 'load_dataset("distilled/best", "ipc3", split="train")' in snippet(text, "hugging-face")
    assert 'Client("http://localhost").open("best")' in snippet(text, "pytorch")
    assert "http://localhost/v1/artifacts/best/samples?ipc=3" in snippet(text, "curl")
    assert "DISTILLED_API_KEY" not in text
