"""What the documentation holds: its pages, and of each the blocks of code, the links and the anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import REPOSITORY

PARSER = MarkdownIt().enable("table")
FOLDERS = ("docs", "examples", "cpp", "plugins")
PAGES = sorted(
    [
        *(path for path in REPOSITORY.glob("*.md")),
        *(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.md")),
    ]
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: where it is, relative to the repository.
        line: in the page, from 1.
        language: as it says; "" for none.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[Block]:
    return [
        Block(name(page), (token.map or [0])[0] + 1, token.info.strip(), token.content)
        for token in tokens(page)
        if token.type == "fence"
    ]


def spans(page: Path) -> list[str]:
    """Code within text."""
    return [token.content for token in tokens(page) if token.type == "code_inline"]


def links(page: Path) -> list[str]:
    """Where its links and pictures lead."""
    found = (token.attrGet("href") if token.type == "link_open" else token.attrGet("src") for token in tokens(page))
    return [str(target) for target in found if target]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    found: set[str] = set()
    previous = None
    for token in PARSER.parse(page.read_text(encoding="utf-8")):
        if previous is not None and previous.type == "heading_open":
            text = "".join(one.content for one in token.children or [] if one.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            same = sum(1 for one in found if one == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", one))
            found.add(f"{slug}-{same}" if same else slug)
        previous = token
    return found


def tokens(page: Path) -> Iterator[Token]:
    for token in PARSER.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or []
