"""What a run says of where it was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.store.manifest import PACKAGES, describe, git_state, versions


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one committed file, apart from the user's own settings."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file.txt").write_text("one\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(folder), *identity, *command], check=True)
    return folder


def test_commit_and_dirt(repository: Path) -> None:
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    clean = {"commit": head.stdout.strip(), "dirty": False}
    assert git_state(repository) == clean
    (repository / "untracked.txt").write_text("new\n")
    assert git_state(repository) == clean
    (repository / "file.txt").write_text("two\n")
    assert git_state(repository) == {**clean, "dirty": True}


def test_no_commit_no_repository_no_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tmp_path / "fresh"
    subprocess.run(["git", "init", "-q", str(fresh)], check=True)
    assert git_state(fresh) is None
    (tmp_path / "plain").mkdir()
    assert git_state(tmp_path / "plain") is None
    assert git_state(repository) is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(repository) is None


def test_a_git_that_hangs_is_given_up(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], *, timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert git_state(repository) is None


def test_versions_are_those_installed() -> None:
    assert versions("pytest", "no-such-package-here") == {
        "pytest": importlib.metadata.version("pytest"),
        "no-such-package-here": None,
    }


def test_description(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/pytest", "suites", "-k", "a or b"])
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    found = describe("cuda:0")
    assert before <= datetime.datetime.fromisoformat(found["created"]) <= datetime.datetime.now(datetime.UTC)
    assert found["created"].endswith("+00:00")
    assert found["command"] == "pytest suites -k 'a or b'"
    assert found["device"] == "cuda:0"
    assert found["git"] == git_state(repository)
    assert found["python"] == platform.python_version()
    assert found["packages"] == versions(*PACKAGES)
    assert found["packages"]["torch"]
    assert found["processor"]
    assert json.loads(json.dumps(found)) == found
