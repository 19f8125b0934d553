"""Makes the pictures of README.md and docs/report.md from a real session; needs the dev extra and Chromium.

python docs/make_pictures.py                      # runs tiny-arithmetic first
python docs/make_pictures.py --report rl-report   # of a report that is there
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
CHROMIUM = os.environ.get("RL_HARNESS_CHROMIUM", "/usr/bin/chromium")
# name -> window's width and height, pixels a unit
WINDOWS = {"": (1280, 860, 1.5), "-phone": (390, 844, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="a report that is there already")
    report = parser.parse_args().report
    PICTURES.mkdir(exist_ok=True)
    if report is not None:
        photograph(report.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        command = [sys.executable, "-m", "pytest", "suites/", "--rl-recipe=tiny-arithmetic"]
        subprocess.run([*command, "-p", "no:cacheprovider", f"--rl-report-dir={report}"], cwd=DOCS.parent, check=True)
        photograph(report)


def photograph(report: Path) -> None:
    """The session page and its first run's page: its top, its training, a group and an opened question."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for window, (width, height, scale) in WINDOWS.items():
                ending = f"{window}-{scheme}.png"
                tab = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
                )
                tab.goto((report / "index.html").as_uri())
                shoot(tab, "session" + ending)
                tab.locator("a.go").first.click()
                tab.wait_for_selector("html[data-questions=ready]", state="attached")
                shoot(tab, "run" + ending)
                tab.locator("#training").evaluate("element => element.scrollIntoView()")
                if not window:
                    shoot(tab, "training" + ending)
                tab.locator("tr.row").first.click()
                tab.locator("tr.detail .answer").first.wait_for()
                tab.locator("#questions").evaluate("element => element.scrollIntoView()")
                shoot(tab, "question" + ending)
                if not window:
                    tab.goto(tab.url.partition("#")[0] + "#step=3")
                    tab.locator(".shown-groups .sample").first.wait_for()
                    tab.locator(".groups").first.evaluate("element => element.scrollIntoView()")
                    shoot(tab, "groups" + ending)
                tab.close()
        browser.close()


def shoot(tab: Page, name: str) -> None:
    """What the window shows, in few colours: a page of text needs no more."""
    tab.wait_for_timeout(200)
    image = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    image.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main()
