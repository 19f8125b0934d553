"""A contestant: a script in a process of its own that does what it is asked, a line of JSON in and one out.

Parent and child share this module. What the child's libraries print goes to its standard error, never among its
answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MEMORY_SHARE = 0.8  # of what is free when a contestant starts


class Contestant:
    """``with Contestant(script, ...) as contestant: contestant.ask(round=1)``; the parent's side."""

    def __init__(self, script: str, *arguments: str | Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        command = [sys.executable, str(Path(__file__).parent / script), *map(str, arguments)]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                encoding="utf-8",
            )
        try:
            self._answer()  # it is ready
        except BaseException:
            self.close()
            raise

    def ask(self, **order: Any) -> Any:
        """Have an order carried out while all other contestants wait.

        Raises:
            RuntimeError: the contestant failed; with the end of its log.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            tail = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self._process.args} ended with exit code {code}:\n{tail}")
        return json.loads(line)

    def close(self) -> None:
        """An end of input is what ends a contestant; one that is still at work is ended."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(make: Callable[[], Callable[..., Any]]) -> None:
    """The child's side: ``make()`` loads and gives what carries out each order."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit_memory()
    carry_out = make()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(**json.loads(line))), file=answers, flush=True)


def limit_memory() -> None:
    """Hold this process to a share of the memory that is free: where more is asked for, an allocation fails as on a
    GPU, and what looks for a batch size can look on. Only Linux counts what is allocated."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    from harness.models.device import available_memory

    limit = int(MEMORY_SHARE * available_memory())
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
