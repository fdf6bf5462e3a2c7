"""Take a picture of a report: python scripts/screenshot.py RUN_DIR OUT.png [--time K] [--full].

This needs Chromium and playwright; the latter is in the extra "test".
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from uf_diffusion.core.files import appearing

# WebGL in software, since there may be no graphics card
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def browser() -> Iterator[Any]:
    """The Chromium of the system, without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run's folder, with its report.html")
    parser.add_argument("out", type=Path, help="the PNG file")
    parser.add_argument("--time", type=int, default=0, help="position of the slider")
    parser.add_argument("--full", action="store_true", help="the whole page")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 900), help="of the window")
    parser.add_argument("--dark", action="store_true", help="as in the dark")
    a = parser.parse_args()
    with browser() as chromium:
        page = chromium.new_page(
            viewport={"width": a.size[0], "height": a.size[1]},
            color_scheme="dark" if a.dark else "light",
        )
        page.goto((a.run / "report.html").resolve().as_uri())
        page.wait_for_selector("html[data-drawn]")
        if page.locator("#time").count():
            page.locator("#time").fill(str(a.time))
            page.locator("#time").blur()
            page.wait_for_timeout(1500)
        with appearing(a.out) as partial:
            partial.write_bytes(page.screenshot(full_page=a.full))


if __name__ == "__main__":
    main()
