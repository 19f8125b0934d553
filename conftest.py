"""What only this repository needs from pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The suites are the plugin's: without it (``-p no:rl-harness``) there is nothing in them that could run."""
    suites = config.rootpath / "suites"
    if collection_path.suffix == ".py" and suites in collection_path.parents:
        return None if config.pluginmanager.hasplugin("rl-harness") else True
    return None
