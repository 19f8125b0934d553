"""An inner pytest in a new process, apart from the outer one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
# What a session that is only collected must not import.
HEAVY = {"torch", "transformers", "trl", "datasets", "pandas", "scipy.stats", "accelerate", "tokenizers"}

# Other people's plugins cost more to import than all that is tested here.
LEFT_OUT = ("cacheprovider", "hypothesispytest", "anyio", "benchmark", "timeout")
COMMAND = [sys.executable, "-m", "pytest", *(part for name in LEFT_OUT for part in ("-p", f"no:{name}"))]


def calm_environment() -> dict[str, str]:
    """The environment without what an outer pytest, its workers or GitHub left there."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "GITHUB_"))}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": ""}
