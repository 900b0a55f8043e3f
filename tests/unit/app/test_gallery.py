"""The gallery as it is made on the server: what stands in it, what its query means, and what it costs."""

import math
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.gallery.browsing import SHOWN
from app.gallery.cards import MOST_IMAGES, picture_query
from app.services import Services
from registry.models import Artifact
from tests.unit.app.conftest import evaluate, publish
from tests.unit.app.test_pages import BROWSER


def test_the_first_command_stands_where_nothing_is(client: TestClient) -> None:
    text = client.get("/").text
    assert "distilled submit --dataset digits" in text
    assert 'href="/jobs/new"' in text
    assert 'id="search"' not in text


def test_a_card_tells_what_the_registry_knows(client: TestClient, services: Services) -> None:
    made, other = publish(services), publish(services, seed=1)
    evaluate(services, made.id, accuracy=0.875)
    client.put("/v1/aliases/best-of-it", json={"artifact_id": made.id})
    text = client.get("/?sort=-accuracy").text
    first, second = text.split('<li class="card shot">')[1:]
    assert made.id in first
    for said in ("<strong>87.5</strong> ± 1.0 %", "random 87.5", "best-of-it", "3 per class", "digits", 'x1="87.50%"'):
        assert said in first, said
    assert "centroid" not in first  # it was not measured
    assert other.id in second
    assert "not measured yet" in second


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("q=&dataset=&method=&kind=&ipc=", 3),
        ("q=dog+dm", 3),
        ("q=nowhere", 0),
        ("dataset=DIGITS&ipc=3", 2),
        ("ipc=5&kind=images&method=dm", 1),
        ("kind=memory", 0),
    ],
)
def test_the_query_chooses(client: TestClient, services: Services, query: str, number: int) -> None:
    for seed, held in ((0, 3), (1, 3), (2, 5)):
        publish(services, seed=seed, held=held)
    text = client.get(f"/?{query}").text
    assert text.count('<li class="card shot">') == number
    assert f"{number} artifact" in text
    assert ("Clear the filters" in text) == (number == 0)


def test_a_query_that_cannot_be_answered_is_told_on_a_page(client: TestClient, services: Services) -> None:
    publish(services)
    for query, field in (
        ("ipc=many", "ipc"),
        ("ipc=0", "ipc"),
        (f"dataset={'x' * 97}", "dataset"),
        ("sort=colour", "sort"),
        ("q=1+2+3+4+5+6+7+8+9", "q"),
        ("cursor=x", "cursor"),
        ("class=cat", "class"),
    ):
        answer = client.get(f"/?{query}", headers=BROWSER)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
        assert f"<code>/query/{field}</code>" in answer.text, query


def test_what_is_searched_for_stays_text(client: TestClient, services: Services) -> None:
    publish(services)
    text = client.get("/", params={"q": '"><script>alert(1)</script>', "dataset": "'><b>&"}).text
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_page_costs_as_many_statements_however_many_cards_it_has(client: TestClient, services: Services) -> None:
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if any(table in statement for table in ("FROM artifacts", "FROM evaluations", "FROM aliases")):
            asked.append(statement)

    def cost() -> int:
        asked.clear()
        assert client.get("/?q=dog").status_code == 200
        return len(asked)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        evaluate(services, publish(services).id, accuracy=0.5)
        few = cost()
        for seed in range(1, 6):
            evaluate(services, publish(services, seed=seed).id, accuracy=0.5)
        assert cost() == few == 4
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert SHOWN <= 50


@pytest.mark.parametrize(
    ("classes", "ipc", "query"),
    [
        (10, 1, "columns=1&wrap=5&scale=12"),
        (10, 3, "columns=3&wrap=6&scale=10"),
        (10, 50, "columns=5&wrap=10&scale=6"),
        (2, 10, "columns=10&wrap=10&scale=6"),
        (10, None, "columns=1&wrap=5&scale=12"),
        (1, 1, "columns=1&wrap=1&scale=60"),
    ],
)
def test_pictures_fill_their_place(classes: int, ipc: int | None, query: str) -> None:
    assert picture_query(artifact(classes, ipc)) == query


def test_no_picture_asks_for_more_than_it_shows() -> None:
    for classes in (3, 7, 20, 47, 100, 1000):
        for ipc in (1, 2, 10, 500):
            told = dict(part.split("=") for part in picture_query(artifact(classes, ipc)).split("&"))
            shown = min(classes, MOST_IMAGES) * int(told["columns"])
            assert shown <= MOST_IMAGES
            assert ("classes" in told) == (classes > MOST_IMAGES)
            wide = int(told["wrap"])
            assert wide * math.ceil(shown / wide) <= 4 / 3 * shown, (classes, ipc)


def artifact(classes: int, ipc: int | None) -> Artifact:
    """One whose images are 8 pixels wide."""
    return Artifact(id="art_x", num_classes=classes, ipc=ipc, header={"space": {"shape": [1, 8, 8]}})
