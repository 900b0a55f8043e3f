"""What every answer tells a browser: to take it for what it says it is, in no page but our own.

A page says itself what it may load (its own Content-Security-Policy). Whatever else a browser may be brought to show
may load nothing at all.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What is no page: were it shown as one, it could do nothing.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    # Nobody else is told; ourselves, yes: with `no-referrer` a browser sends our own forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A page of another origin may not even embed a picture: on this machine there may be no key to keep it away.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
#: Only said over https, as RFC 6797 asks; two years. A proxy that ends TLS tells of it by X-Forwarded-Proto.
TRANSPORT = "max-age=63072000"


def page_policy(
    *, script: str = "", style: str, connect: str = "", image: str = "'self' data:", form: str = "'none'"
) -> str:
    """The policy of a page: these sources of scripts, styles, requests and pictures, and where its forms may go."""
    allowed = {"script-src": script, "style-src": style, "connect-src": connect, "img-src": image}
    said = "; ".join(f"{name} {sources}" for name, sources in allowed.items() if sources)
    return f"default-src 'none'; {said}; base-uri 'none'; form-action {form}; frame-ancestors 'none'"


class SecurityHeaders:
    """Gives every answer these headers, refusals too; a policy that the answer has already stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                headers.setdefault("Content-Security-Policy", NOTHING)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = TRANSPORT
            await send(message)

        await self.app(scope, receive, send_marked)
