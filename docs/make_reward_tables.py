"""Writes the tables of docs/rewards.md that come from the audit's cases: ``python docs/make_reward_tables.py``.

A test holds the page to them (tests/rewards/audit/test_documented_tables.py).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from harness.cli.commands import EXAMPLES
from harness.rewards import SHIPPED, Rewards
from harness.rewards.audit import audit_reward
from harness.rewards.audit.case import FAMILIES
from harness.rewards.audit.recipe import disagreements
from harness.rewards.audit.rivals import READERS, readings

PAGE = Path(__file__).with_name("rewards.md")


def tables() -> dict[str, str]:
    """Markdown by the name of its place in the page."""
    return {"promises": _promises(), "counts": _counts(), "rivals": _rivals(), "disagreements": _disagreements()}


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


def _counts() -> str:
    read = list(readings())
    rows = ["| family | cases | " + " | ".join(READERS) + " |", "|---|---|" + "---|" * len(READERS)]
    for family in FAMILIES:
        own = [each for each in read if each.case.family == family]
        wrong = [str(sum(not each.right[name] for each in own)) for name in READERS]
        rows.append(f"| {family} | {len(own)} | " + " | ".join(wrong) + " |")
    wrong = [str(sum(not each.right[name] for each in read)) for name in READERS]
    rows.append(f"| **all** | {len(read)} | " + " | ".join(wrong) + " |")
    return "\n".join(rows)


def _rivals() -> str:
    rows = ["| case | ground truth | completion | should be | first box | last number |", "|---|---|---|---|---|---|"]
    for each in readings():
        if all(each.right.values()) or not each.right["boxed_numeric"]:
            continue
        other = {"paid": "refused", "refused": "paid"}
        said = [each.expected if each.right[name] else f"**{other[each.expected]}**" for name in list(READERS)[1:]]
        answer = _code(_shown(each.case.answer))
        rows.append(
            f"| {each.case.family}: {each.case.name} | {_code(each.case.truth)} | {answer} | {each.expected} | "
            + " | ".join(said)
            + " |"
        )
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


def _shown(text: str) -> str:
    brief = text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in brief.replace("\n", " "))


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text or text.startswith(" ") or text.endswith(" ") else ""
    escaped = text.replace("|", "\\|")
    return f"{fence}{pad}{escaped}{pad}{fence}" if text else "(empty)"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
