"""Lists are pages: cursors, limits and Link headers."""

import re

import pytest

from tests.conformance.making import ENDLESS
from tests.conformance.wire import Wire

LISTS = ["/v1/datasets", "/v1/jobs", "/v1/artifacts"]


@pytest.fixture(scope="module")
def three_jobs(wire: Wire, dataset: str) -> str:
    """A query that finds three jobs at least, all of which have ended or will change no more while they are listed."""
    for seed in (31, 32, 33):
        recipe = {**ENDLESS, "dataset": dataset, "seed": seed}
        job_id = wire.ok("POST", "/v1/jobs", status=202, json=recipe).json()["id"]
        wire.ok("POST", f"/v1/jobs/{job_id}/cancel")
    return f"/v1/jobs?dataset={dataset}&state=cancelled"


def test_cursors_walk_a_list_without_gaps_or_repeats(wire: Wire, three_jobs: str) -> None:
    whole = [job["id"] for job in wire.get(f"{three_jobs}&limit=200")["items"]]
    path, query = three_jobs.split("?")
    steps = list(wire.pages(path, **dict(part.split("=") for part in query.split("&")), limit=2))
    assert [job["id"] for page in steps for job in page] == whole
    assert all(len(page) == 2 for page in steps[:-1])
    assert len(whole) >= 3


def test_the_link_header_leads_to_the_next_page_with_the_same_filters(wire: Wire, three_jobs: str) -> None:
    answer = wire.ok("GET", f"{three_jobs}&limit=1")
    found = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["link"])
    assert found is not None
    following = found[1]
    assert {"limit=1", "state=cancelled"} <= set(following.partition("?")[2].split("&"))
    by_link = wire.get(following)
    assert by_link == wire.get(f"{three_jobs}&limit=1&cursor={answer.json()['next_cursor']}")
    assert by_link["items"] != answer.json()["items"]


@pytest.mark.parametrize("path", LISTS)
def test_the_last_page_has_neither_cursor_nor_link(wire: Wire, path: str, dataset: str) -> None:
    query = "limit=200" if path == "/v1/datasets" else f"dataset={dataset}&limit=200"
    answer = wire.ok("GET", f"{path}?{query}")
    assert answer.json()["next_cursor"] is None or len(answer.json()["items"]) == 200
    assert ("link" in answer.headers) == (answer.json()["next_cursor"] is not None)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "100000", "many", ""])
def test_a_limit_out_of_bounds_is_refused(wire: Wire, path: str, limit: str) -> None:
    assert wire.pointers("GET", f"{path}?limit={limit}") == ["/query/limit"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["nonsense!", "AAAA", "e30", "%00", "x" * 600])
def test_a_cursor_that_was_not_given_out_is_refused(wire: Wire, path: str, cursor: str) -> None:
    answer = wire.call("GET", f"{path}?cursor={cursor}")
    if path == "/v1/datasets" and answer.status_code == 200:
        return  # its cursor is a name, and any name is a place to start from
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/query/cursor"]
