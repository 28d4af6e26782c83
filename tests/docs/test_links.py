"""Links of the documentation lead somewhere, on GitHub and in a clone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs import pages

GENERATED = {f"docs/reference/{page}.md" for page in ("api", "commands", "manifest", "messages")}
"""Only the site has them."""


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    wrong = []
    for link in pages.links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.relative_to(REPOSITORY).as_posix() if target.is_relative_to(REPOSITORY) else None
        if inside in GENERATED:
            continue
        if (
            inside is None
            or not target.exists()
            or (anchor and target.suffix == ".md" and anchor not in pages.anchors(target))
        ):
            wrong.append(link)
    assert wrong == []


def test_a_wrong_anchor_would_be_found() -> None:
    found = pages.anchors(REPOSITORY / "docs" / "quantization.md")
    assert "sensitive-layers---auto-bound" in found
    assert "sensitive-layers" not in found
