"""Webhooks: what is told, signed as Standard Webhooks asks, until it has arrived; and where nothing is sent."""

import ipaddress
import json
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from app.webhooks import addresses, connecting, sending
from app.webhooks.delivering import deliver
from distilled.manifest import digest_json
from registry import jobs, webhooks
from registry.models import MessageState, WebhookMessage
from registry.webhooks import Delivery
from tests.unit.app.conftest import pointers, problem

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
OLD = f"whsec_{b64encode(bytes(range(32, 64))).decode()}"
RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}


class Receiver:
    """A real server that answers as it is told and remembers what it was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.got.append(({name.lower(): value for name, value in handler.headers.items()}, body))
        answer = self.answers.pop(0) if self.answers else status(204)
        answer(handler)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serving(receiver: Receiver, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    with serving(receiver) as port:
        yield f"http://127.0.0.1:{port}/hook?of=mine"


@pytest.fixture
def services(services: Services) -> Services:
    """Services that send webhooks, to this machine too."""
    told = {"webhook_secret": SECRET, "webhook_private": True, "webhook_timeout_seconds": 2.0}
    services.settings = AppSettings(**{**services.settings.model_dump(), **told})
    return services


def submit(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=RECIPE | fields)
    assert response.status_code in (200, 202), response.text
    return response.json()


def messages(client: TestClient, job_id: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/jobs/{job_id}/webhooks").json()["items"]


def make_due(services: Services) -> None:
    """Let the time until the next attempt be over."""
    with services.database.write() as session:
        session.execute(update(WebhookMessage).where(WebhookMessage.next_at.is_not(None)).values(next_at=0.0))


def test_the_end_of_a_job_is_told_and_its_signature_verified(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    deliver(services)
    assert receiver.got == []
    assert [(one["state"], one["attempts"]) for one in messages(client, job["id"])] == [("waiting", 0)]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    deliver(services)
    ((headers, body),) = receiver.got
    told = Webhook(SECRET).verify(body, headers)
    assert told == json.loads(body)
    assert (told["type"], told["data"]["job_id"], told["data"]["state"]) == ("job.cancelled", job["id"], "cancelled")
    assert (headers["content-type"], headers["host"]) == ("application/json", url.split("/")[2])
    (message,) = messages(client, job["id"])
    assert (message["id"], message["state"], message["status"]) == (headers["webhook-id"], "delivered", 204)
    assert (message["attempts"], message["next_at"], message["error"]) == (1, None, None)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"cancelled", b"succeeded"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


def end(services: Services, job_id: str, state: str) -> None:
    """Let a worker end a job."""
    with services.database.write() as session:
        held = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert held is not None
        if state == "failed":
            jobs.fail(session, job_id, attempt=held.attempt, error={"code": "not_finite", "title": "t", "detail": "d"})
            return
        header = {"classes": ["a"], "dataset": {"name": "digits", "digest": "d" * 64}, "recipe": {}}
        made = jobs.Publication(digest="a" * 64, content_bytes=1, payload_bytes=1, kind="images", header=header)
        jobs.finish(session, job_id, attempt=held.attempt, publication=made)


@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_each_end_has_its_message(
    client: TestClient, services: Services, receiver: Receiver, url: str, state: str
) -> None:
    job = submit(client, webhook=url)
    end(services, job["id"], state)
    deliver(services)
    told = json.loads(receiver.got[0][1])
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    assert told["type"] == f"job.{state}"
    assert (told["data"]["artifact_id"], told["data"]["error"]) == (shown["artifact_id"], shown["error"])
    assert datetime.fromisoformat(told["timestamp"]) == datetime.fromisoformat(shown["ended_at"])


def test_a_worker_that_is_lost_for_good_is_told_too(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    with services.database.write() as session:
        jobs.claim(session, job["id"], worker="w", device="cpu", lease_seconds=-1)
        jobs.sweep(session, max_attempts=1, rewake_seconds=60)
    deliver(services)
    assert json.loads(receiver.got[0][1])["data"]["error"]["code"] == "worker_lost"


def test_what_does_not_arrive_is_sent_again_under_the_same_id(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    receiver.answers = [status(500), status(302, Location=url), status(200)]
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    errors: list[str | None] = []
    for attempt in (1, 2, 3):
        deliver(services)
        deliver(services)  # not due yet
        (message,) = messages(client, job["id"])
        assert (len(receiver.got), message["attempts"]) == (attempt, attempt)
        errors.append(message["error"])
        if message["next_at"]:
            wait = datetime.fromisoformat(message["next_at"]) - datetime.now(UTC)
            delay = webhooks.DELAYS_SECONDS[attempt - 1]
            assert timedelta(seconds=delay - 5) < wait <= timedelta(seconds=delay + 1)
        make_due(services)
    assert errors == [
        "answered 500; 2xx is needed",
        "answered 302; redirects are not followed, name where it leads",
        None,
    ]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    for headers, body in receiver.got:
        Webhook(SECRET).verify(body, headers)
    assert messages(client, job["id"])[0]["state"] == "delivered"


def test_it_is_given_up_in_the_end_and_at_once_where_nobody_wants_it(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    receiver.answers = [status(503)] * 100
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    for _ in range(12):
        deliver(services)
        make_due(services)
    (message,) = messages(client, job["id"])
    assert (message["state"], message["attempts"], message["next_at"]) == ("given_up", 8, None)
    assert message["ended_at"] is not None
    assert len(receiver.got) == 8
    receiver.answers = [status(410)]
    other = submit(client, webhook=url)
    client.post(f"/v1/jobs/{other['id']}/cancel")
    deliver(services)
    assert [(one["state"], one["attempts"]) for one in messages(client, other["id"])] == [("given_up", 1)]


def test_a_sender_that_died_is_taken_over(client: TestClient, services: Services, receiver: Receiver, url: str) -> None:
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    with services.database.write() as session:
        dead = webhooks.claim_due(session, lease_seconds=60)
        assert dead is not None
        assert webhooks.claim_due(session, lease_seconds=60) is None
    deliver(services)
    assert receiver.got == []
    make_due(services)
    deliver(services)
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [dead.id]
    with services.database.write() as session:  # and the dead one, coming back, changes nothing
        assert not webhooks.failed(session, dead, error="late")
        assert webhooks.of_job(session, job["id"])[0].state is MessageState.DELIVERED


def test_whoever_shares_a_job_is_told_too(client: TestClient, services: Services, receiver: Receiver, url: str) -> None:
    job = submit(client, webhook=url)
    shared = client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": f"{url}2"}).json()
    assert shared["id"] == job["id"]  # the webhook is no part of what is made
    client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": url})
    end(services, job["id"], "succeeded")
    late = client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": f"{url}3"}).json()
    assert (late["id"], late["state"]) == (job["id"], "succeeded")
    deliver(services)
    assert sorted(one["url"] for one in messages(client, job["id"])) == [url, f"{url}2", f"{url}3"]
    assert len(receiver.got) == 3


def test_a_job_that_is_tried_again_is_told_again(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    deliver(services)
    assert client.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
    deliver(services)
    assert len(receiver.got) == 1
    end(services, job["id"], "failed")
    deliver(services)
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["job.cancelled", "job.failed"]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


def test_a_job_that_is_not_queued_tells_nothing(client: TestClient, services: Services, url: str) -> None:
    with services.database.read() as session:
        assert not webhooks.is_due(session)
    plan = client.post("/v1/jobs?dry_run=true", json=RECIPE | {"webhook": url})
    assert plan.json()["recipe"]["webhook"] == url
    other = client.post("/v1/jobs?dry_run=true", json=RECIPE)
    assert other.json()["digest"] == plan.json()["digest"]
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/webhooks"), 404)
    assert messages(client, submit(client)["id"]) == []


def test_the_service_sends_while_it_lives(
    settings: AppSettings, services: Services, receiver: Receiver, url: str
) -> None:
    services.settings = services.settings.model_copy(update={"webhook_poll_seconds": 0.02})
    arrived = threading.Event()

    def arrive(handler: BaseHTTPRequestHandler) -> None:
        status(200)(handler)
        arrived.set()

    receiver.answers = [arrive]
    with TestClient(create_app(services.settings, services=services), base_url="http://localhost") as client:
        job = submit(client, webhook=url)
        client.post(f"/v1/jobs/{job['id']}/cancel")
        assert arrived.wait(20)


def test_two_secrets_sign_while_one_replaces_the_other(url: str, receiver: Receiver) -> None:
    send(url, keys=sending.keys(f"{SECRET} {OLD}"))
    ((headers, body),) = receiver.got
    for secret in (SECRET, OLD):
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], f"{SECRET}!", "whsec_" + "A" * 100])
def test_a_secret_that_is_none_is_refused_and_not_printed(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AppSettings(home=tmp_path, webhook_secret=secret)  # pyright: ignore[reportArgumentType]
    assert "webhook_secret" in str(caught.value)
    assert len(secret) < 10 or secret not in str(caught.value)


# Where nothing is sent


def send(url: str, **options: Any) -> sending.Outcome:
    given = {"keys": sending.keys(SECRET), "private": True, "seconds": 2.0} | options
    return sending.send(Delivery(id="msg_1", attempt=1, url=url, body={"type": "x"}), **given)


PRIVATE_ADDRESSES = ("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1")
NEVER = (
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104 -- refused, not bound to
    "::",
    "255.255.255.255",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
)
ELSEWHERE = ("192.0.2.1", "198.18.0.1", "203.0.113.5", "2001:db8::1", "192.0.0.1")
OPEN = ("8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


@pytest.mark.parametrize("address", [*PRIVATE_ADDRESSES, *NEVER, *ELSEWHERE, *OPEN])
@pytest.mark.parametrize("private", [False, True])
def test_addresses_are_judged(address: str, private: bool) -> None:
    allowed = address in OPEN or (private and address in PRIVATE_ADDRESSES)
    parsed = ipaddress.ip_address(address)
    assert (addresses.refusal(parsed, private=private) is None) == allowed
    shown = f"[{address}]" if ":" in address else address
    fault = addresses.fault(f"https://{shown}/hook", private=private)
    assert (fault is None) == allowed


@given(st.ip_addresses())
def test_what_is_not_global_is_never_allowed(address: Any) -> None:
    if addresses.refusal(address, private=False) is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "https://user@example.org/",
        "https://user:secret@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://exämple.org/",
        "http://example.org\\@127.0.0.1/",
        "http://[::1",
        "http://localhost/",
        "http://a.localhost:8000/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "https://example.org/" + "x" * 2000,
    ],
)
def test_a_webhook_that_cannot_be_is_refused_at_submission(client: TestClient, services: Services, url: str) -> None:
    services.settings = services.settings.model_copy(update={"webhook_private": False})
    assert pointers(client.post("/v1/jobs", json=RECIPE | {"webhook": url})) == ["/webhook"]
    assert client.get("/v1/jobs").json()["items"] == []


def test_without_a_secret_there_are_no_webhooks(client: TestClient, services: Services) -> None:
    services.settings = services.settings.model_copy(update={"webhook_secret": None})
    response = client.post("/v1/jobs", json=RECIPE | {"webhook": "https://example.org/hook"})
    assert pointers(response) == ["/webhook"]
    assert "DISTILLED_WEBHOOK_SECRET" in response.text
    assert client.post("/v1/jobs", json=RECIPE | {"webhook": None}).status_code == 202


def test_a_name_that_points_inside_is_refused_when_it_is_sent(receiver: Receiver, url: str) -> None:
    port = urlsplit(url).port
    for inside in (["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]):
        outcome = send(f"http://hooks.example:{port}/", private=False, resolve=lambda host, port, to=inside: to)
        assert outcome.error is not None
        assert outcome.error.startswith("hooks.example points to")
    assert receiver.got == []


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(receiver: Receiver, url: str) -> None:
    """A name that resolves to another address a moment later is asked for no second time."""
    port, asked = urlsplit(url).port, []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    assert send(f"http://hooks.example:{port}/", resolve=rebinding).status == 204
    assert asked == ["hooks.example"]
    assert receiver.got[0][0]["host"] == f"hooks.example:{port}"


def test_no_proxy_of_the_environment_comes_between(
    receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(url).status == 204
    assert len(receiver.got) == 1


def test_a_receiver_has_all_in_all_so_many_seconds() -> None:
    """One that drips a byte now and then does not keep the sender."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n" * 100:
                    if ended.wait(0.05):
                        return
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        outcome = send(f"http://127.0.0.1:{listening.getsockname()[1]}/", seconds=0.4)
        ended.set()
        thread.join()
    assert outcome.error == "no answer within 0.4 seconds"


def test_what_cannot_be_reached_or_speaks_no_http_is_told_without_details() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def chatter() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=chatter)
        thread.start()
        assert send(f"http://127.0.0.1:{port}/").error == "what answers there does not speak HTTP"
        thread.join()
    unreached = "it cannot be reached: the name has no address, or nothing answers there"
    assert send(f"http://127.0.0.1:{port}/").error == unreached

    def no_such_name(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    assert send("http://hooks.example/", resolve=no_such_name).error == unreached
    assert send("http://hooks.example/", resolve=lambda host, port: []).error == unreached


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for this name with its key."""
    from cryptography import x509  # noqa: PLC0415 -- slow to import, and for this test only
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = folder / "pair.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_checks_the_name_and_not_the_address(tmp_path: Path, receiver: Receiver) -> None:
    pair = certificate(tmp_path, "hooks.example")
    serverside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serverside.load_cert_chain(pair)
    with serving(receiver, context=serverside) as port:
        options: dict[str, Any] = {
            "resolve": lambda host, port: ["127.0.0.1"],
            "ssl_context": ssl.create_default_context(cafile=str(pair)),
        }
        assert send(f"https://hooks.example:{port}/", **options).status == 204
        assert send(f"https://other.example:{port}/", **options).error == (
            "its TLS certificate is not valid, or it does not speak TLS"
        )
    assert len(receiver.got) == 1


def test_the_address_of_a_connection_is_the_one_that_was_looked_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        backend = connecting.Guarded(private=True, seconds=2, resolve=lambda host, port: ["127.0.0.1"])
        stream = backend.connect_tcp("hooks.example", listening.getsockname()[1])
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.close()
        with pytest.raises(connecting.Refused):
            backend.connect_unix_socket("/var/run/docker.sock")


def test_the_body_is_the_same_text_at_every_attempt() -> None:
    body = {"type": "job.failed", "data": {"b": 1, "a": [None, 0.1, "ü"]}, "timestamp": "t"}
    assert sending.as_bytes(dict(reversed(body.items()))) == sending.as_bytes(body)
    assert digest_json(json.loads(sending.as_bytes(body))) == digest_json(body)
