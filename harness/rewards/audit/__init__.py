"""The reward audit: what a reward function pays for right answers, for almost right ones, and for tricks.

    >>> from harness.rewards.audit import audit_reward
    >>> audit = audit_reward("boxed_numeric")
    >>> audit.findings, audit.deterministic
    ((), True)

The cases are tables, a file a family: :mod:`harness.rewards.audit.gold`, ``near_misses``, ``invariances``, ``hacks``
and ``thoughts``.
:mod:`harness.rewards.audit.case` says what each kind of grader is expected to make of them.
"""

from harness.rewards.audit.case import CASES, FAMILIES, Case
from harness.rewards.audit.kept import audit_once
from harness.rewards.audit.recipe import Audit, audit_rewards
from harness.rewards.audit.reward import Outcome, RewardAudit, answer_in, audit_reward

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
