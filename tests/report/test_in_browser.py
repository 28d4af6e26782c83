"""The page in a real browser: silent, alone, as wide as the window, and without what axe-core finds fault with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import HOSTILE
from vpp_deploy.terminal.console import one_line

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (400, 800, 1600)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page that was opened, with everything that the browser said and asked for meanwhile."""

    def __init__(self, browser: Any, path: Path, *, scheme: str = "light", scripts: bool = True) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(color_scheme=scheme, java_script_enabled=scripts)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Playwright's own way evaluates a text in the page, which the page's policy forbids."""
        for _ in range(500):
            if condition():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("it did not come about within ten seconds")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_silent_alone_and_never_scrolls_sideways(browser: Any, full_page: Path, scheme: str) -> None:
    visit = Visit(browser, full_page, scheme=scheme)
    for width in WIDTHS:
        visit.page.set_viewport_size({"width": width, "height": 900})
        inside, outside = visit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inside <= outside == width
    visit.page.wait_for_load_state("networkidle")
    assert visit.messages == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [full_page.as_uri()]
    visit.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 400), ("light", 1600), ("dark", 800)])
def test_axe_finds_nothing(browser: Any, full_page: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    visit = Visit(browser, full_page, scheme=scheme)
    visit.page.set_viewport_size({"width": width, "height": 900})
    found = axe.Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()
    visit.context.close()


def test_hostile_names_are_seen_and_not_run(browser: Any, full_page: Path) -> None:
    visit = Visit(browser, full_page)
    assert visit.page.evaluate("window.hacked") is None
    text = visit.page.evaluate("document.body.textContent")
    assert all(one_line(name) in text for name in HOSTILE)
    assert visit.page.locator("h1").inner_text() == HOSTILE[0]
    visit.context.close()


def test_the_slider_shows_the_frame_that_it_says(browser: Any, full_page: Path) -> None:
    visit = Visit(browser, full_page)
    slider, strip, said = (visit.page.locator(name) for name in (".slider input", ".strip", ".slider output"))
    slider.fill("3")
    visit.wait_for(lambda: strip.evaluate("strip => Math.abs(strip.scrollLeft - 2 * strip.clientWidth) < 2"))
    assert said.inner_text() == "3 of 3"
    strip.evaluate("strip => { strip.scrollLeft = 0; }")
    visit.wait_for(lambda: said.inner_text() == "1 of 3")
    visit.context.close()


def test_the_video_can_be_played(browser: Any, full_page: Path) -> None:
    visit = Visit(browser, full_page)
    film = visit.page.locator("video")
    visit.wait_for(lambda: film.evaluate("video => video.readyState >= 1 || video.error !== null"))
    assert film.evaluate("video => [video.videoWidth, video.videoHeight, video.error]") == [90, 60, None]
    visit.context.close()


def test_without_scripts_everything_can_be_read(browser: Any, full_page: Path) -> None:
    visit = Visit(browser, full_page, scripts=False)
    assert visit.page.locator(".slider").count() == 0
    pictures = visit.page.locator(".strip > figure > img")
    assert pictures.count() == 3
    pictures.last.scroll_into_view_if_needed()
    assert pictures.last.is_visible()
    visit.context.close()


def test_on_paper_all_frames_are_there(browser: Any, full_page: Path) -> None:
    visit = Visit(browser, full_page, scheme="dark")
    visit.page.emulate_media(media="print")
    tops = visit.page.evaluate("[...document.querySelectorAll('.strip > figure')].map(one => one.offsetTop)")
    assert tops == sorted(set(tops))
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert visit.page.locator("nav").is_hidden()
    visit.context.close()
