"""The live line under xdist. Its workers have no terminal: each leaves in a file what it is at, and the process that
has one reads those files now and then.

xdist's loop calls no hook while it waits for its workers, and only the thread that writes pytest's lines may draw below
them. So a thread of ours puts an event into the loop's queue, and what the event calls draws.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.progress import EVERY_SECONDS, FOLDER, Progress

if TYPE_CHECKING:
    from queue import Queue


class Workers:
    """In the process with the terminal, where that can be drawn on: the first worker's stage, and how many others have
    one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._folder: Path | None = None
        self._last = ("", "")  # stage that was drawn last, and how far it was

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._progress.is_live():
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="rl-harness-"))
            node.workerinput[FOLDER] = str(self._folder)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        loop = session.config.pluginmanager.getplugin("dsession")
        if self._folder is None or loop is None:
            return (yield)
        over = threading.Event()
        loop.worker_rl_harness = self._draw  # what an event of this name calls
        reminder = threading.Thread(target=self._remind, args=(loop.queue, over), daemon=True)
        reminder.start()
        try:
            return (yield)
        except KeyboardInterrupt:
            self._progress.stopped = self._last if self._last[0] else None  # by now the worker may have ended it
            raise
        finally:
            over.set()
            reminder.join()
            self._progress.erase()
            shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _remind(queue: Queue[tuple[str, dict[str, object]]], over: threading.Event) -> None:
        while not over.wait(EVERY_SECONDS):
            if queue.empty():
                queue.put(("rl_harness", {}))

    def _draw(self) -> None:
        assert self._folder is not None
        found = []
        for path in sorted(self._folder.glob("gw*[0-9]"), key=lambda path: (len(path.name), path.name)):
            with suppress(OSError, ValueError):  # its stage has just ended
                found.append(json.loads(path.read_text(encoding="utf-8")))
        if not found:
            self._progress.erase()
            return
        (stage, text, share, begun), *others = found
        self._last = stage, text
        more = f"   {len(others)} more at work" if others else ""
        self._progress.show(stage, text, share, time.time() - begun, more)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Make room for the line that ``-v`` begins now."""
        self._progress.erase()

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """xdist says so, and what it was at has ended."""
        self._progress.erase()
        if self._folder is not None:
            Path(self._folder, node.gateway.id).unlink(missing_ok=True)
