"""What stands in a page of docs/: its tables, row by row."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(name: str, *, head: str) -> Iterator[list[str]]:
    """The cells of each row of the tables whose first column is called so; as long as the head, and no cell empty."""
    width = 0
    for line in page(name).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            width = 0
        elif width:
            assert len(cells) == width, line
            assert all(cells), line
            if set(line) - set("|-"):
                yield cells
        elif cells[0] == head:
            width = len(cells)


def quoted(cell: str) -> list[str]:
    """The `words` of a cell."""
    return cell.split("`")[1::2]
