"""Markdown as HTML for a page. HTML in it stays text, and pictures are left out: they would come from elsewhere."""

from markdown_it import MarkdownIt
from markupsafe import Markup


def rendered(text: str) -> Markup:
    """The text with its headings a level lower, since a page has its own. Links never run anything."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 -- escaped by markdown-it
