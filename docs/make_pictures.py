"""Makes the README's pictures from a real session; needs the dev extra and Chromium."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
CHROMIUM = os.environ.get("RL_HARNESS_CHROMIUM", "/usr/bin/chromium")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        command = [sys.executable, "-m", "pytest", "suites/", "--color=yes", "-p", "no:cacheprovider"]
        session = subprocess.run(
            [*command, f"--rl-report-dir={report}"], cwd=DOCS.parent, capture_output=True, text=True, check=True
        )
        text = session.stdout.replace(str(report), "rl-report").replace(str(DOCS.parent), "~/rl-harness")
        draw_terminal("$ pytest suites/\n" + text)
        photograph(report / "index.html")


def draw_terminal(text: str) -> None:
    """The session's output as an SVG with real text."""
    console = Console(record=True, width=128, file=io.StringIO())
    console.print(Text.from_ansi(text))
    console.save_svg(str(PICTURES / "terminal.svg"), title="pytest suites/")


def photograph(page: Path) -> None:
    """The session page, and one opened question of its first run, light and dark."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            tab = browser.new_page(
                viewport={"width": 1180, "height": 1000}, color_scheme=scheme, device_scale_factor=1.5
            )
            tab.goto(page.as_uri())
            tab.screenshot(path=str(PICTURES / f"report-{scheme}.png"))
            tab.locator("a.go").first.click()
            tab.wait_for_selector("html[data-questions=ready]", state="attached")
            tab.locator("tr.row").first.click()
            tab.locator("tr.detail .answer").first.wait_for()
            tab.evaluate("document.querySelector('#questions').scrollIntoView()")
            tab.screenshot(path=str(PICTURES / f"question-{scheme}.png"))
        browser.close()


if __name__ == "__main__":
    main()
