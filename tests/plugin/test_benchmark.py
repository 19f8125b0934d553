"""pytest-benchmark comes with this package, and is seen where something is timed alone."""

from __future__ import annotations

import pytest

from tests.inner_pytest import run

TIMED = "def test_timed(benchmark):\n    benchmark(lambda: None)\n"


@pytest.mark.parametrize("timed", [False, True])
def test_its_line_and_its_folder_stand_where_something_is_timed(tmp_path, timed):
    (tmp_path / "test_it.py").write_text(TIMED if timed else "def test_it():\n    pass\n")
    options = ["--benchmark-autosave"] if timed else []
    result = run(["pytest", "-p", "no:cacheprovider", *options], tmp_path, {}, torch=False)
    result.assert_outcomes(passed=1)
    assert any(line.startswith("benchmark: ") for line in result.outlines) == timed
    assert (tmp_path / ".benchmarks").exists() == timed
