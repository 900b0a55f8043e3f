"""Plain HTML: what there is, and what a problem means. The gallery to explore pictures in is still to come."""

from collections.abc import Sequence
from html import escape

from app.errors import Kind
from registry.models import Artifact

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8885; vertical-align: top; }
td img { image-rendering: pixelated; max-width: 16rem; max-height: 8rem; }
code { font-size: .9em; }
"""

HEADINGS = ("", "artifact", "data set", "method", "images per class", "accuracy", "bytes")


def front_page(artifacts: Sequence[Artifact], *, more: bool) -> str:
    """The page as HTML, with the newest artifacts. more: whether there are others beside those shown."""
    rest = '<p><a href="/v1/artifacts">All artifacts</a> as JSON.</p>' if more else ""
    return _page(
        "distilled",
        '<p>Distilled data sets, made on request. <a href="/docs">The API</a> · <a href="/v1/methods">methods</a> · '
        '<a href="/v1/datasets">data sets</a> · <a href="/v1/jobs">jobs</a> · <a href="/v1/artifacts">artifacts</a> · '
        '<a href="/readyz">readiness</a></p>' + (_table(artifacts) if artifacts else _nothing_yet()) + rest,
    )


def problem_page(kind: Kind, causes: Sequence[str]) -> str:
    """What a kind of problem means, in the words of the errors that come to it."""
    told = "".join(f"<li>{escape(cause)}</li>" for cause in causes)
    return _page(kind.title, f"<p>HTTP status {kind.status}.</p><ul>{told}</ul>")


def _page(title: str, content: str) -> str:
    """A whole page around content that is HTML already."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{content}
</body>
</html>
"""


def _nothing_yet() -> str:
    return (
        "<p>There are no artifacts yet. Make the first one:</p>"
        "<pre><code>distilled submit --dataset digits --method frepo --ipc 1 --watch</code></pre>"
    )


def _table(artifacts: Sequence[Artifact]) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in HEADINGS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, artifacts))}</tbody></table>"


def _row(artifact: Artifact) -> str:
    url = f"/v1/artifacts/{escape(artifact.id)}"
    preview = f'<a href="{url}/preview.png"><img loading="lazy" src="{url}/preview.png" alt="contact sheet"></a>'
    cells = (
        preview,
        f'<a href="{url}"><code>{escape(artifact.id)}</code></a>',
        escape(artifact.dataset),
        escape(artifact.method or "–"),
        "–" if artifact.ipc is None else str(artifact.ipc),
        _accuracy(artifact),
        f"{artifact.content_bytes:,}",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _accuracy(artifact: Artifact) -> str:
    if artifact.accuracy is None:
        return "not measured yet"
    spread = "" if artifact.accuracy_std is None else f" ± {100 * artifact.accuracy_std:.1f}"
    return f"{100 * artifact.accuracy:.1f}{spread} % on {escape(artifact.network or '?')}"
