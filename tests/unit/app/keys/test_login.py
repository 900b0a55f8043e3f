"""A key in a browser: the form, the cookie, and the token that shows that one of our own pages asks."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.gallery.login import own_path
from app.keys import cookie
from app.main import create_app
from app.packing import LEAST_BYTES
from app.services import Services
from registry.scopes import Scope
from tests.unit.app.conftest import problem
from tests.unit.app.keys.conftest import ROOT, Held, cut
from tests.unit.app.test_pages import BROWSER

Connect = Callable[[str], TestClient]
RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}


@pytest.fixture
def browser(keyed: Connect) -> TestClient:
    """A browser that comes without a key, and follows no redirection by itself."""
    client = keyed("")
    client.headers.update(BROWSER)
    client.follow_redirects = False
    return client


def enter(browser: TestClient, key: str, **fields: str) -> str:
    """Log in; the token of the page that follows."""
    answer = browser.post("/login", data={"key": key, **fields}, headers={"Origin": str(browser.base_url)})
    assert answer.status_code == 303, answer.text
    found = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', browser.get("/problems/not-found").text)
    assert found is not None
    return found[1]


def test_a_page_leads_to_the_form_and_the_form_back(browser: TestClient, held: dict[str, Held]) -> None:
    sent = browser.get("/?x=1&y=%2F")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2F%3Fx%3D1%26y%3D%252F")
    asked = browser.get("/docs?a=b")
    assert asked.headers["location"] == "/login?next=%2Fdocs%3Fa%3Db"
    form = browser.get(asked.headers["location"])
    assert form.status_code == 200
    assert 'name="next" value="/docs?a=b"' in form.text
    entered = browser.post("/login", data={"key": f"  {held['read'].secret} ", "next": "/docs?a=b"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/docs?a=b")
    assert browser.get("/docs").status_code == 200
    assert browser.get("/login?next=/jobs").headers["location"] == "/jobs"  # who is in already is not asked


def test_programs_are_told_rather_than_sent(browser: TestClient) -> None:
    for path in ("/v1/jobs", "/metrics", "/openapi.json", "/hf/api/datasets", "/problems/x"):
        answer = browser.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert browser.get("/", headers={"Accept": "*/*"}).status_code == 401
    assert browser.post("/v1/jobs", json=RECIPE).status_code == 401


def test_a_page_with_somebody_s_token_is_not_packed(browser: TestClient, held: dict[str, Held]) -> None:
    """Its length would tell of the token, since the page repeats what the address asks for."""
    token = enter(browser, held["read"].secret)
    answer = browser.get("/?q=guess", headers={"Accept-Encoding": "gzip"})
    assert token in answer.text
    assert len(answer.content) > LEAST_BYTES
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_the_cookie_is_for_the_browser_alone(
    keyed: Connect, held: dict[str, Held], scheme: str, is_secure: bool
) -> None:
    client = keyed("")
    answer = client.post(
        f"{scheme}://anywhere.test/login", data={"key": held["read"].secret}, follow_redirects=False, headers=BROWSER
    )
    name, *attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")]
    kept = {one.partition("=")[0].lower(): one.partition("=")[2] for one in attributes}
    assert name == f"{cookie.NAME}={urlsafe_b64encode(held['read'].secret.encode()).decode().rstrip('=')}"
    assert "httponly" in kept
    assert ("secure" in kept) == is_secure
    assert (kept["samesite"], kept["path"], kept["max-age"]) == ("strict", "/", str(30 * 24 * 3600))
    assert "domain" not in kept
    assert held["read"].secret not in answer.text


def test_a_wrong_key_is_told_and_leaves_no_cookie(browser: TestClient) -> None:
    answer = browser.post("/login", data={"key": "dst_wrong", "next": "/jobs?a=1"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert 'value="/jobs?a=1"' in answer.text
    assert "dst_wrong" not in answer.text
    for fields in ({}, {"key": ""}, {"key": "x" * (cookie.LONGEST + 1)}):
        assert browser.post("/login", data=fields).status_code == 422
    assert browser.post("/login", data={"key": "schlüssel"}).status_code == 401


def test_a_form_of_another_origin_logs_nobody_in_or_out(browser: TestClient, held: dict[str, Held]) -> None:
    for path in ("/login", "/logout"):
        answer = browser.post(path, data={"key": held["read"].secret}, headers={"Origin": "http://evil.test"})
        assert problem(answer, 403)["type"] == "/problems/foreign-origin"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.test/",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/x\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "evil",
        "",
    ],
)
def test_nobody_is_sent_elsewhere(browser: TestClient, held: dict[str, Held], path: str) -> None:
    assert own_path(path) == "/"
    answer = browser.post("/login", data={"key": held["read"].secret, "next": path})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/login", params={"next": path}).headers["location"] == "/"


def test_a_change_takes_the_token_of_our_own_page(browser: TestClient, held: dict[str, Held]) -> None:
    token = enter(browser, held["submit"].secret)
    assert browser.get("/v1/jobs").status_code == 200
    for headers in ({}, {cookie.HEADER: ""}, {cookie.HEADER: token[:-1] + "x"}, {cookie.HEADER: held["submit"].secret}):
        told = problem(browser.post("/v1/jobs", json=RECIPE, headers=headers), 403)
        assert told["type"] == "/problems/token-missing"
    assert browser.get("/v1/jobs").json()["items"] == []
    shown = {cookie.HEADER: token, "Origin": str(browser.base_url)}
    assert browser.post("/v1/jobs", json=RECIPE, headers=shown).status_code == 202
    foreign = shown | {"Origin": "http://evil.test"}
    assert problem(browser.post("/v1/jobs", json=RECIPE, headers=foreign), 403)["type"] == "/problems/foreign-origin"
    bearer = held["submit"].bearer  # a program that has cookies, too: no page can send this header
    assert browser.post("/v1/jobs", json=RECIPE, headers=bearer).status_code == 202


def test_a_token_belongs_to_its_key(browser: TestClient, held: dict[str, Held]) -> None:
    first = enter(browser, held["submit"].secret)
    second = enter(browser, held["admin"].secret)
    assert first != second
    problem(browser.post("/v1/jobs", json=RECIPE, headers={cookie.HEADER: first}), 403)
    assert held["admin"].secret not in browser.get("/problems/not-found").text


def test_scopes_hold_behind_a_cookie_too(browser: TestClient, held: dict[str, Held]) -> None:
    shown = {cookie.HEADER: enter(browser, held["read"].secret)}
    told = problem(browser.post("/v1/jobs", json=RECIPE, headers=shown), 403)
    assert told["type"] == "/problems/scope-missing"


def test_what_a_scope_may_not_do_is_not_offered(client: TestClient, held: dict[str, Held]) -> None:
    shown = {kind: client.get("/", headers={**BROWSER, **held[kind].bearer}) for kind in ("read", "submit", "admin")}
    assert {kind: 'href="/jobs/new"' in answer.text for kind, answer in shown.items()} == {
        "read": False,
        "submit": True,
        "admin": True,
    }
    refused = client.get("/", headers={**BROWSER, **held["none"].bearer})
    assert refused.status_code == 403
    assert "needs a key with the scope" in refused.text
    assert refused.headers["www-authenticate"].startswith("Bearer error=")


def test_a_key_that_ends_closes_the_pages(browser: TestClient, services: Services) -> None:
    short, gone = cut(services, "short", Scope, seconds=0.05), cut(services, "gone", Scope)
    boss = cut(services, "boss", [Scope.ADMIN])
    for ended in (short, gone):
        browser.post("/login", data={"key": ended.secret})
        browser.cookies.set(cookie.NAME, cookie.written(ended.secret))
        if ended is gone:
            assert browser.get("/docs").status_code == 200
            answer = browser.delete(f"/v1/keys/{gone.id}", headers=boss.bearer)
            assert answer.status_code == 204
        assert until_sent(browser) == "/login?next=%2Fdocs"
        assert browser.get("/login").status_code == 200


def until_sent(browser: TestClient) -> str:
    """Where a page leads as soon as the key has ended."""
    for _ in range(100):
        answer = browser.get("/docs")
        if answer.status_code == 303:
            return answer.headers["location"]
    raise AssertionError("the key still opens the pages")


def test_logging_out_forgets_the_key(browser: TestClient, held: dict[str, Held]) -> None:
    enter(browser, held["read"].secret)
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert cookie.NAME not in browser.cookies
    assert browser.get("/docs").status_code == 303


@pytest.mark.parametrize("held_as", ["", "!", "ä", "A", "====", "\x00", "a" * 9000])
def test_a_cookie_that_is_none_of_ours_opens_nothing(browser: TestClient, held_as: str) -> None:
    shown = {"Cookie": f"{cookie.NAME}={held_as}".encode("latin-1")}
    assert browser.get("/docs", headers=shown).status_code == 303  # type: ignore[arg-type]


def test_any_text_can_be_a_key() -> None:
    for secret in ("a", "dst_" + "x" * 43, 'semi;colon, "quote" ü €', "=" * 3):
        assert cookie.read(f"a=b; {cookie.NAME}={cookie.written(secret)}; c=d") == secret.encode()
    assert cookie.read("") is None
    assert cookie.token(b"a") != cookie.token(b"b")


def test_wrong_keys_are_counted_however_they_come(services: Services) -> None:
    settings = services.settings.model_copy(update={"wrong_keys_per_minute": 3, "api_key": ROOT})
    app = create_app(type(settings)(home=settings.home, api_key=ROOT, wrong_keys_per_minute=3), services=services)
    client = TestClient(app, base_url="http://anywhere.test", headers=BROWSER, follow_redirects=False)
    bad = {"Cookie": f"{cookie.NAME}={cookie.written('wrong')}"}
    assert client.get("/static/page.css", headers=bad).status_code == 200  # which tells nothing of a key
    assert client.get("/docs", headers=bad).status_code == 303
    assert client.get("/login", headers=bad).status_code == 200
    assert client.post("/login", data={"key": "wrong"}).status_code == 401
    for answer in (
        client.get("/docs", headers=bad),
        client.get("/login", headers=bad),
        client.post("/login", data={"key": ROOT}),
    ):
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
    assert client.get("/login").status_code == 200  # without a key there is nothing to count
