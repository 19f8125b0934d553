"""Writes the tables of docs/rewards.md that come from the audit's cases: ``python docs/make_reward_tables.py``.

A test holds the page to them (tests/rewards/test_audit.py).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from harness.cli.commands import EXAMPLES
from harness.rewards import SHIPPED, Rewards
from harness.rewards.audit import audit_reward, disagreements
from harness.store.audit import FAMILIES

PAGE = Path(__file__).with_name("rewards.md")


def tables() -> dict[str, str]:
    """Markdown by the name of its place in the page."""
    return {"promises": _promises(), "disagreements": _disagreements()}


def filled(page: str) -> str:
    """The page with each ``<!-- table: name -->`` followed by today's table."""
    for name, table in tables().items():
        place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = place.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", page)
    return page


def _promises() -> str:
    rows = [
        "| reward | promises | " + " | ".join(FAMILIES) + " | otherwise |",
        "|---|---|" + "---|" * (len(FAMILIES) + 1),
    ]
    for name in SHIPPED:
        example = {name: EXAMPLES[name]} if name in EXAMPLES else {}
        audit = audit_reward(name, Rewards({name: 1.0}, example))
        counts = audit.counts()
        held = " | ".join(f"{kept} of {of}" for kept, of in (counts[family] for family in FAMILIES))
        rows.append(f"| `{name}` | {audit.promise} | {held} | {sum(of - kept for kept, of in counts.values())} |")
    return "\n".join(rows)


def _disagreements() -> str:
    found = list(disagreements(["boxed_numeric"]))
    counts = Counter((each.family, "strict" if each.strict else "flexible") for each in found)
    rows = ["| family | only the strict one pays | only the flexible one pays |", "|---|---|---|"]
    for family in FAMILIES:
        if counts[family, "strict"] or counts[family, "flexible"]:
            rows.append(f"| {family} | {counts[family, 'strict']} | {counts[family, 'flexible']} |")
    listed = ", ".join(f"{each.name}{' (strict pays)' if each.strict else ''}" for each in found)
    return "\n".join(rows) + f"\n\n{listed}."


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
