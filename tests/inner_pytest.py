"""An inner pytest, or the command line, in a process of its own, apart from the outer pytest.

Most of such a process's time would be its imports: :func:`forked` has a process that imported once fork for each.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# What a session that is only collected must not import.
HEAVY = {"torch", "transformers", "trl", "datasets", "pandas", "scipy.stats", "accelerate", "tokenizers"}

SECONDS = 600  # after which a process of these tests is ended

# Other people's plugins cost more to import than all that is tested here.
LEFT_OUT = ("cacheprovider", "hypothesispytest", "anyio", "benchmark", "timeout")
PYTEST = ["pytest", *(part for name in LEFT_OUT for part in ("-p", f"no:{name}"))]
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of a plugin that was imported before the fork


def calm_environment() -> dict[str, str]:
    """The environment without what an outer pytest, its workers, GitHub or a test machine left there: where ``CI`` is
    set, pytest says every failure twice in full."""
    left = ("PYTEST_", "GITHUB_")
    kept = {k: value for k, value in os.environ.items() if not k.startswith(left) and k not in ("CI", "BUILD_NUMBER")}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": ""}


def run(module: list[str], folder: Path, environment: dict[str, str], *, torch: bool | None = None) -> pytest.RunResult:
    """``python -m module ...`` in a folder: a fork, with ``torch`` of a process that has what trains in memory, and
    with ``None`` a new interpreter, where it matters what is imported."""
    started = time.monotonic()
    environment = calm_environment() | environment
    # The checkout that these tests stand in, wherever an installed package points.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(REPOSITORY)]))
    if torch is None:
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=folder, env=environment, capture_output=True, timeout=SECONDS
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code, out, err = forked(module, folder, environment, torch)
    lines = (each.decode().splitlines() for each in (out, err))
    return pytest.RunResult(code, *lines, time.monotonic() - started)


def forked(module: list[str], folder: Path, environment: dict[str, str], torch: bool) -> tuple[int, bytes, bytes]:
    """Its exit code, or the number of the signal that killed it below 0, and what it wrote."""
    server = _server(torch)
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("out", "err")]
        asked = {"module": module, "folder": str(folder), "environment": environment, "files": [*map(str, files)]}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, files[0].read_bytes(), files[1].read_bytes()


@functools.cache
def _server(torch: bool) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forks.py")), str(SECONDS), *(["torch"] if torch else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=calm_environment(),
        text=True,
    )
    atexit.register(server.communicate)  # it ends where its input does
    return server
