"""What pyproject.toml asks for, against what .ci/run tests: floors, and caps of packages whose insides are used."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIRED = {each.name: each for each in map(Requirement, PROJECT["dependencies"] + EXTRAS["gguf"] + EXTRAS["lora"])}


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    pinned = (Requirement(line) for line in lines if line and not line.startswith("#"))
    return {each.name: Version(next(iter(each.specifier)).version) for each in pinned}


def test_the_oldest_set_is_the_floors() -> None:
    floors = {
        name: Version(next(each.version for each in required.specifier if each.operator == ">="))
        for name, required in REQUIRED.items()
    }
    del floors["torch"]  # see the file
    assert pins("oldest.txt") == floors


@pytest.mark.parametrize("package", ["transformers", "trl", "httpx2"])
def test_packages_whose_insides_are_used_are_capped_after_the_newest_that_was_run(package: str) -> None:
    """The next minor version may rename what is leaned on, as transformers 5.24 renamed the cache."""
    newest, admits = pins("newest.txt")[package], REQUIRED[package].specifier
    assert newest in admits
    assert Version(f"{newest.major}.{newest.minor}.99") in admits
    assert Version(f"{newest.major}.{newest.minor + 1}") not in admits


def test_what_is_installed_is_admitted() -> None:
    for name, required in REQUIRED.items():
        assert importlib.metadata.version(name) in required.specifier, name
