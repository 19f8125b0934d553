"""Audits that were made before, found by content in ``audit.json`` of any run directory.

What decides an audit: the rewards with their parameters and limits, their versions, the cases and forms, and the
questions whose gold answers are tried. One with findings is made again each time, since a busy machine makes some of
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.rewards import Rewards, reward_version
from harness.rewards.audit.recipe import Audit, audit_rewards
from harness.store.run_directory import digest, read_json
from harness.tasks import Question
from harness.tasks.forms import FORMS

FILE = "audit.json"


def audit_key(rewards: Rewards, questions: Sequence[Question]) -> str:
    """Content hash of everything that decides an audit of these rewards.

    Raises:
        RewardError: a name does not resolve.
    """
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        own.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest(
        {
            "audit": own.hexdigest(),
            "forms": dict(FORMS),
            "rewards": list(rewards.items()),
            "settings": rewards.settings(),
            "graders": {name: reward_version(name) for name in (*rewards, "boxed_exact", "boxed_numeric")},
            "questions": [[each.id, each.ground_truth] for each in questions],
        }
    )


def audit_once(rewards: Rewards, questions: Sequence[Question], runs: Iterable[Path]) -> tuple[Audit, str]:
    """The audit of these rewards, from one of these run directories or made now, and its key."""
    key = audit_key(rewards, questions)
    return find_audit(key, runs) or audit_rewards(rewards, questions), key


def find_audit(key: str, runs: Iterable[Path]) -> Audit | None:
    """The audit with this key that one of these run directories keeps, if it found nothing wrong."""
    for run in runs:
        kept = read_json(run / FILE) or {}
        if kept.get("key") == key and not kept.get("findings"):
            try:
                return Audit.from_json(kept)
            except (KeyError, TypeError):
                continue
    return None
