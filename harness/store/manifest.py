"""Where and with what a run was made: for readers of the run, and for the versions that its identity holds."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from harness.store.names import as_text
from harness.store.redact import clean_command

PACKAGES = ("rl-harness", "torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "numpy")


def versions(*packages: str) -> dict[str, str | None]:
    """Installed versions by package name, read without importing them."""
    return {package: _version(package) for package in packages}


@cache  # every identity asks; looking takes some milliseconds
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe(device: str) -> dict[str, Any]:
    """``environment.json``: time (UTC, ISO 8601), Python, platform, processor, device, packages, commit, command.

    The command line is written without secrets.
    """
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
        "packages": versions(*PACKAGES),
        "git": git_state(Path.cwd()),
        "command": clean_command([Path(sys.argv[0]).name, *map(as_text, sys.argv[1:])]),
    }


def git_state(folder: Path, *, ignoring: Path | None = None) -> dict[str, Any] | None:
    """Commit and whether tracked files (but for those in ``ignoring``) differ from it, or ``None`` outside a
    repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return os.fsdecode(subprocess.run(command, capture_output=True, check=True, timeout=10).stdout).strip()

    try:
        inside = ignoring is not None and ignoring.resolve().is_relative_to(git("rev-parse", "--show-toplevel"))
        excluded = ["--", ":/", f":(exclude){ignoring.resolve()}"] if ignoring and inside else []
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno", *excluded))}
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
