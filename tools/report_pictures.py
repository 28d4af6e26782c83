"""Pictures of a report for the docs, taken by Chromium.

    python tools/report_pictures.py report.html docs/pictures

Writes `report.png` (light), `report-dark.png` and `report-phone.png` (400 pixels wide), and prints their names. Needs
playwright and an installed Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image

PICTURES = (
    ("report.png", "light", (1100, 1500), "#model"),
    ("report-dark.png", "dark", (1100, 1500), "#frames"),
    ("report-phone.png", "light", (400, 1100), "#frames"),
)
"""Name, colour scheme, width and height of the window, and what stands at its top; `#model` begins above it."""


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="that `vpp-deploy report` wrote")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    browser = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if browser is None:
        parser.error("chromium is not installed; install it, on Debian with: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, scheme, size, anchor in PICTURES:
            _take(opened, options.report, options.out / name, scheme, size, anchor)
            sys.stdout.write(f"{options.out / name}\n")


def _take(browser: Any, report: Path, target: Path, scheme: str, size: tuple[int, int], anchor: str) -> None:
    viewport = {"width": size[0], "height": size[1]}
    page = browser.new_page(color_scheme=scheme, viewport=viewport)
    page.goto(report.resolve().as_uri())
    if anchor != "#model":
        page.evaluate("anchor => document.querySelector(anchor).scrollIntoView()", anchor)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(target, optimize=True)
    page.close()


if __name__ == "__main__":
    main()
