"""Webhooks: where nothing is sent, and how what is sent is held to the address that was looked at."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.services import Services
from app.webhooks import addresses, connecting
from tests.unit.app.conftest import pointers
from tests.unit.app.webhooks.conftest import RECIPE, Receiver, send, serving

PRIVATE_ADDRESSES = ("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1")
NEVER = (
    "169.254.169.254",
    "fe80::1",
    "169.254.170.2",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "168.63.129.16",
    "192.0.0.192",
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
ELSEWHERE = ("fec0::1", "0.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.5", "2001:db8::1", "192.0.0.1")
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
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0xa9fea9fe/",
        "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://0/",
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
