"""Memory grows no faster than the records on disk: see ``python tests/measures/memory.py`` for the table."""

from __future__ import annotations

import sys

import memory
import pytest

FACTORS = {"evaluation": 1.5, "report": 3.0}
"""Bytes of memory that a byte more on disk may take. Reading a report's records as they stand would be about 1."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("what", FACTORS)
def test_memory_grows_no_faster_than_the_records(what: str) -> None:
    ratio, found = memory.growth(what)
    for each in found:
        print(f"\n{what} {each['records']} records: {each['disk']} bytes on disk, {each['memory']} of memory")
    assert found[-1]["disk"] > 15 * found[0]["disk"]
    assert ratio <= FACTORS[what], found
