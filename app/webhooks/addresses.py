"""Where a webhook may go. A service that calls any address it is given can be used to reach what only it can reach."""

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2000
#: Where clouds tell their machines secrets, beside link-local addresses such as 169.254.169.254: AWS, Google and Oracle
#: over IPv6, Alibaba Cloud, Azure (whose address looks public), Oracle's older one.
METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "fd00:c1::/32",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
    )
)
#: Networks within one site, which Python takes for global ones: RFC 3879 withdrew them, and some still run.
SITE: Network = ipaddress.IPv6Network("fec0::/10")
#: IPv6 addresses that stand for IPv4 ones, and would be judged by the wrong number: RFC 4291, 6052, 8215, 3056, 4380.
TRANSLATED: tuple[Network, ...] = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
#: What people run in networks of their own, and a setting can allow: loopback, RFC 1918, RFC 6598, RFC 4193.
PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)


def refusal(address: Address, *, private: bool) -> str | None:
    """Why no webhook goes to this address, in a word or two; None: it may. private: networks of one's own are allowed.

    Link-local and multicast addresses, those of metadata services and IPv4 in disguise are refused either way.
    """
    own = any(address in network for network in PRIVATE)
    rules: tuple[tuple[Callable[[], bool], str], ...] = (
        (
            lambda: address.is_link_local or any(address in network for network in METADATA),
            "a link-local or metadata address",
        ),
        (lambda: own and not private, "an address of a private network"),
        (lambda: own, ""),
        (lambda: any(address in network for network in TRANSLATED), "an IPv4 address written as IPv6"),
        (lambda: address.is_multicast or address.is_unspecified or address.is_reserved, "no address of one machine"),
        (lambda: address in SITE or not address.is_global, "an address of a private network"),
    )
    found = next((reason for holds, reason in rules if holds()), "")
    return found or None


def fault(url: str, *, private: bool) -> str | None:
    """What is wrong with the URL of a webhook, and what to do about it; None: it can be taken.

    Names are not looked up here: what they point to may change until it is sent, and is looked at then.
    """
    if len(url) > MAX_URL or not url.isascii() or any(letter <= " " or letter == "\x7f" for letter in url):
        return f"must be a URL of at most {MAX_URL} printable ASCII characters (a host's name in punycode)"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is no URL; send one such as https://example.org/hook"
    if parts.scheme not in ("http", "https") or not host or port == 0 or "\\" in url:
        return "must be a URL such as https://example.org/hook, with http or https"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "must have neither a user, nor a password, nor a fragment; what is sent is signed"
    address = _literal(host)
    reason = None if address is None else refusal(address, private=private)
    if address is None and not private and (host == "localhost" or host.endswith(".localhost")):
        reason = "this machine itself"
    if reason:
        return f"{host} is {reason}, where this service sends nothing (DISTILLED_WEBHOOK_PRIVATE allows private ones)"
    return None


def _literal(host: str) -> Address | None:
    """The address that a host is, also in the old ways of writing one (`127.1`, `0x7f000001`); None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
