"""Today's results against those that were written down for the same version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.store.manifest import versions

FOLDER = Path(__file__).parent
COMMAND = "python -m tests.golden"

Parts = dict[str, dict[str, Any]]


def written(kind: str, folder: Path = FOLDER) -> Parts:
    """The parts of ``rewards.json``, ``tasks.json``, ``prompts.json`` or ``engines.json``."""
    path = folder / f"{kind}.json"
    parts: Parts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return parts


def write(kind: str, parts: Parts, folder: Path = FOLDER) -> None:
    (folder / f"{kind}.json").write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")


def changed(before: Parts, now: Parts) -> list[str]:
    """Results that differ under the same version: a version has to be counted up."""
    found = []
    for name, part in now.items():
        old = before.get(name)
        if old is None or old["with"] != part["with"]:
            continue
        if part["version"] < old["version"]:
            found.append(f"{name}: version {part['version']} is older than {old['version']}, which was written down")
        if part["version"] != old["version"]:
            continue
        cases = [case for case in part["results"] if case in old["results"]]
        differing = [case for case in cases if part["results"][case] != old["results"][case]]
        if differing:
            first = differing[0]
            found.append(
                f"{name}, version {part['version']}: {len(differing)} of {len(cases)} results differ, first {first!r}: "
                f"{old['results'][first]!r} -> {part['results'][first]!r}; "
                f"count its version up in harness/store/versions.py, then {COMMAND}"
            )
    return found


def stale(before: Parts, now: Parts) -> list[str]:
    """Parts whose cases or version are not those that were written down."""
    found = [
        f"{name}: is no longer there; {COMMAND}" for name in before if name not in now and comparable(before[name])
    ]
    for name, part in now.items():
        old = before.get(name)
        if old is not None and not comparable(old):
            continue  # another version of a parser: CI's own set is written down
        if old is None or old["version"] != part["version"] or old["results"].keys() != part["results"].keys():
            found.append(f"{name}: its version or its cases are not those written down; {COMMAND}")
    return found


def comparable(part: dict[str, Any]) -> bool:
    """Whether a part was written down with the packages that are installed."""
    return versions(*part["with"]) == part["with"]
