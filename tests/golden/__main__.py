"""Writes the results of today's versions down: ``python -m tests.golden``.

It refuses where results changed and their version did not.
"""

from __future__ import annotations

import sys

from tests.golden.compare import changed, write, written
from tests.golden.results import KINDS


def main(kinds: list[str]) -> int:
    refused = 0
    for kind in kinds or KINDS:
        now, before = KINDS[kind](), written(kind)
        if found := changed(before, now):
            refused = 1
            print("\n".join(found), file=sys.stderr)
            continue
        write(kind, now)
        print(f"tests/golden/{kind}.json: {sum(len(part['results']) for part in now.values())} results")
    return refused


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
