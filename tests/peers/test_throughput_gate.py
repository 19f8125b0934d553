"""pytest-benchmark's comparison is a gate on the throughput suite: a kept figure that is missed fails the session."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.inner_pytest import REPOSITORY, calm_environment


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """``session(*options)`` times the grading of eight answers; figures are kept in a folder of the module's."""
    folder = tmp_path_factory.mktemp("throughput")

    def run(*options):
        places = [f"--benchmark-storage={folder}", f"--rl-runs-dir={folder / 'runs'}", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", "suites/test_throughput.py", "-k", "grading", "--rl-limit=8"]
        return subprocess.run(
            [*command, *places, *options], cwd=REPOSITORY, env=calm_environment(), capture_output=True, text=True
        )

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def kept(session):
    """What ``--benchmark-autosave`` left."""
    done = session("--benchmark-autosave")
    assert done.returncode == 0, done.stdout
    (file,) = session.folder.glob("*/*.json")
    return file


def test_rates_and_what_was_measured_are_kept(kept):
    ((benchmark,), machine) = (json.loads(kept.read_text())[key] for key in ("benchmarks", "machine_info"))
    assert benchmark["group"] == "grading"
    assert benchmark["fullname"].endswith("::test_grading[tiny-arithmetic-seed0] --rl-limit=8")
    assert benchmark["params"] == {"recipe": "tiny-arithmetic", "seed": 0, "device": "cpu"}
    rate = benchmark["extra_info"]["completions per second"]
    assert rate == pytest.approx(8 / benchmark["stats"]["median"])
    assert machine["cpu"]


def test_a_median_above_the_kept_one_fails(session, kept):
    """Against a kept figure that is a hundredth of ours."""
    found = json.loads(kept.read_text())
    other = kept.with_name("0002_other.json")
    for name in ("min", "max", "mean", "median", "q1", "q3"):
        found["benchmarks"][0]["stats"][name] /= 100
    other.write_text(json.dumps(found))
    done = session("--benchmark-compare=0002", "--benchmark-compare-fail=median:25%")
    assert done.returncode == 1, done.stdout
    assert "Performance has regressed" in done.stdout + done.stderr
