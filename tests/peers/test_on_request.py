"""What is measured rather than judged is collected when it is asked for, and costs nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.inner_pytest import REPOSITORY, calm_environment


@pytest.mark.parametrize(
    ("arguments", "throughput", "peers"),
    [
        (["suites/"], False, False),
        (["suites/", "-k", "throughput or peers"], False, False),
        (["suites/", "-m", "benchmark"], True, False),
        (["suites/", "-m", "peer"], False, True),
        (["suites/", "--benchmark-only"], True, False),
        (["suites/test_throughput.py"], True, False),
        (["suites/peers"], False, True),
        (["suites/peers/test_training.py"], False, True),
        (["suites/test_throughput.py::test_collection", "suites/peers"], True, True),
    ],
)
def test_collected(arguments, throughput, peers):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        env=calm_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), done.stdout
    found = [line for line in done.stdout.splitlines() if "::" in line]
    assert any(line.startswith("suites/test_throughput.py::") for line in found) == throughput
    assert any(line.startswith("suites/peers/") for line in found) == peers
    assert "skipped" not in done.stdout
