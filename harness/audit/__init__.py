"""The reward audit: what a reward function pays for right answers, for almost right ones, and for tricks.

    >>> from harness.audit import audit_reward
    >>> audit = audit_reward("boxed_numeric")
    >>> audit.findings, audit.deterministic
    ((), True)

The cases are tables, a file a family: :mod:`harness.audit.gold`, ``near_misses``, ``invariances``, ``hacks``
and ``thoughts``.
:mod:`harness.audit.case` says what each kind of grader is expected to make of them.
"""

from harness.audit.case import CASES, FAMILIES, Case
from harness.audit.kept import audit_once
from harness.audit.recipe import Audit, audit_rewards
from harness.audit.reward import Outcome, RewardAudit, answer_in, audit_reward

__all__ = [
    "CASES",
    "FAMILIES",
    "Audit",
    "Case",
    "Outcome",
    "RewardAudit",
    "answer_in",
    "audit_once",
    "audit_reward",
    "audit_rewards",
]
