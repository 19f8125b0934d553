"""Live progress: one line that is rewritten on a terminal, or a line now and then in a log."""

from __future__ import annotations

import time

import pytest

LOG_EVERY_SECONDS = 15.0


class Progress:
    """Called as ``progress(stage, text)`` while a stage works. Silent in xdist's workers, which have no terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._quiet = hasattr(config, "workerinput") or self._reporter is None or config.get_verbosity() < 0
        self._stage, self._written = "", 0.0

    def __call__(self, stage: str, text: str) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        terminal = self._reporter.isatty
        # The capture is lifted for each line, so write seldom enough not to matter.
        if stage == self._stage and now - self._written < (0.2 if terminal else LOG_EVERY_SECONDS):
            return
        self._stage, self._written = stage, now
        with self._capture.global_and_fixture_disabled():
            line = f"{stage}: {text}"
            if terminal:
                self._reporter.rewrite(f"  {line}", erase=True)
            else:
                self._reporter.ensure_newline()
                self._reporter.write_line(f"  {line}")
