"""A real browser for the tests that need one, and what must never happen in it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# The helpers beside the tests are plain modules; with importlib import mode nobody else makes them importable.
sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Opened:
    """A page in Chromium. ``faults`` collects dialogs, console errors, script errors and requests to anywhere."""

    page: Any
    faults: list[str] = field(default_factory=list)


class Chromium:
    """Opens reports from the file system and closes what it opened."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.contexts: list[Any] = []

    def open(self, path: Path, fragment: str = "", **context: Any) -> Opened:
        """Open ``path`` in a new context, e.g. ``java_script_enabled=False`` or ``viewport={...}``."""
        self.contexts.append(self.browser.new_context(**context))
        opened = Opened(self.contexts[-1].new_page())
        page, url = opened.page, path.as_uri()

        def dialog(box: Any) -> None:
            opened.faults.append(f"dialog: {box.message}")
            box.dismiss()

        page.on("dialog", dialog)
        page.on("console", lambda message: opened.faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: opened.faults.append(f"error: {error}"))
        page.on("popup", lambda other: opened.faults.append(f"popup: {other.url}"))
        page.on("request", lambda r: None if r.url.split("#")[0] == url else opened.faults.append(f"request: {r.url}"))
        page.goto(url + fragment)
        return opened


@pytest.fixture(scope="session")
def _browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = os.environ.get("RL_HARNESS_CHROMIUM", "/usr/bin/chromium")
    if not Path(executable).is_file():
        pytest.skip(f"no Chromium at {executable}: name one in RL_HARNESS_CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def chromium(_browser: Any) -> Iterator[Chromium]:
    """Chromium, or a skip with the reason."""
    opener = Chromium(_browser)
    yield opener
    for context in opener.contexts:
        context.close()
