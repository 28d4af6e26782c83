"""The site: it is built without a warning, its links lead somewhere, and it asks the network for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import REPOSITORY
from tests.report.test_in_browser import Visit, browser  # noqa: F401 - a fixture
from tools import docs_messages
from vpp_deploy.engines import BACKENDS

LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}
"""What a browser fetches by itself."""


class Page(HTMLParser):
    """Links, anchors and what is loaded, of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag in LOADED and values.get(LOADED[tag]) and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(str(values[LOADED[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does it: a warning is an error there, unless it is silenced with `--quiet`."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_link_leads_to_a_page_and_an_anchor_of_it(site: Path, parsed: dict[Path, Page]) -> None:
    wrong = []
    for path, page in parsed.items():
        if path.name == "404.html":  # whose links count from the root of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = not parts.fragment or target not in parsed or unquote(parts.fragment) in parsed[target].anchors
            if not target.is_file() or not (known or parts.fragment == "__codelineno"):
                wrong.append((path.relative_to(site).as_posix(), link))
    assert wrong == []


def test_nothing_is_fetched_from_elsewhere(site: Path, parsed: dict[Path, Page]) -> None:
    for path, page in parsed.items():
        assert [one for one in page.loaded if "//" in one] == [], path
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8"), path


def test_every_message_command_and_name_has_its_place(parsed: dict[Path, Page], site: Path) -> None:
    reference = {path.stem: page for path, page in parsed.items() if path.parent == site / "reference"}
    assert {one.anchor for one in docs_messages.messages()} <= reference["messages"].anchors
    assert {"export", "infer", "build-engine", "demo-data"} <= reference["commands"].anchors
    assert {"segmentationmanifest", "modelspec"} <= reference["manifest"].anchors
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert "Raises" in text
    assert {"vpp_deploy.families.export", "vpp_deploy.bundle.Bundle"} <= reference["api"].anchors
    assert all(name in (site / "reference" / "commands.html").read_text(encoding="utf-8") for name in BACKENDS)


def test_it_can_be_searched_from_a_folder(browser: Any, site: Path) -> None:  # noqa: F811 - a fixture
    """Without a server, a worker or a network."""
    visit = Visit(browser, site / "index.html")
    visit.page.get_by_placeholder("Search").first.wait_for(state="visible")
    visit.page.keyboard.press("f")
    visit.page.keyboard.type("compute capability")
    visit.page.locator(".md-search-result__item a").first.wait_for(state="visible")
    assert "troubleshooting.html" in (visit.page.locator(".md-search-result__list").first.inner_html())
    assert visit.messages == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "about:"))] == []
    visit.context.close()
