"""Health checks of a training job, as data: what each reads, its limit, where the limit comes from, how grave it is.

    for finding in look(history, limits({"reward_collapse": 0.3})):
        print(finding.level, finding.sentence)

A check is one pure function of a ``History`` and a limit. It looks at each logged
step and speaks once a job. A *warning* is for a person to read; a *fatal* finding says that what was learned is lost,
and fails ``test_training_is_healthy``. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.gate.health.groups import no_answer, truncation, zero_std_groups
from harness.gate.health.history import Finding, Group, History, Seen, groups_of
from harness.gate.health.policy import (
    entropy_collapse,
    entropy_runaway,
    gradient_not_finite,
    gradient_zero,
    kl_blow_up,
    sampling_gap,
)
from harness.gate.health.rewards import format_without_correctness, reward_collapse, reward_without_held_out

__all__ = ["CHECKS", "Check", "Finding", "Group", "History", "Seen", "groups_of", "limits", "look"]


@dataclass(frozen=True, slots=True)
class Check:
    """``key`` is the TRL metric that it reads (``status`` is our own grader's, in ``completions.jsonl``); ``source``
    says where the default limit comes from.

    ``stall`` has no function: a hung process cannot look at itself, so :mod:`harness.training.watch` does. Nor has
    ``restart``: it counts how often a job of several processes was started again, and speaks when one is.
    """

    name: str
    function: Callable[[History, float], Seen | None] | None
    key: str
    limit: float
    level: Literal["warning", "fatal"]
    source: str


CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check(
            "zero_std_groups",
            zero_std_groups,
            "frac_reward_zero_std",
            0.3,
            "warning",
            "chosen here: the expected share is computed; 16 groups scatter by 0.125 at most, this is 2.4 times that",
        ),
        Check(
            "truncation",
            truncation,
            "completions/clipped_ratio",
            0.3,
            "warning",
            "chosen here: rewards of cut answers are noise (DAPO, arXiv:2503.14476, section 3.4), and at a third of a "
            "batch they weigh as much as the rest",
        ),
        Check(
            "reward_collapse",
            reward_collapse,
            "reward",
            0.5,
            "fatal",
            "chosen here: half of the best is far beyond the scatter of 5 steps, which is taken off besides",
        ),
        Check(
            "format_without_correctness",
            format_without_correctness,
            "rewards/<name>/mean",
            0.2,
            "warning",
            "chosen here: a rise of 20 points in form alone is what a policy that is paid for form learns first",
        ),
        Check(
            "reward_without_held_out",
            reward_without_held_out,
            "reward",
            0.2,
            "warning",
            "chosen here: were held-out accuracy to rise by 20 points too, 64 questions would hide it in 1 % of runs",
        ),
        Check(
            "entropy_collapse",
            entropy_collapse,
            "entropy",
            0.1,
            "warning",
            "chosen here: Cui et al. 2025 (arXiv:2505.22617) tie the end of progress to entropy near 0; runs measured "
            "here that still gained fell to 0.16 of their start",
        ),
        Check(
            "entropy_runaway",
            entropy_runaway,
            "entropy",
            3.0,
            "warning",
            "chosen here: entropy falls while a policy learns; with 100 times its learning rate the embedded model is "
            "at 16 times its start after 7 steps",
        ),
        Check(
            "kl_blow_up",
            kl_blow_up,
            "kl",
            1.0,
            "warning",
            "chosen here: at 1 nat a token a sampled token is 2.7 times less likely under the base model, in the "
            "geometric mean",
        ),
        Check(
            "gradient_zero",
            gradient_zero,
            "grad_norm",
            5,
            "warning",
            "chosen here: one step without a gradient is luck in small batches, five in a row are not",
        ),
        Check(
            "gradient_not_finite",
            gradient_not_finite,
            "grad_norm",
            1,
            "fatal",
            "a step by NaN leaves no weight; torch.nn.utils.clip_grad_norm_ does not stop it",
        ),
        Check(
            "no_answer",
            no_answer,
            "status",
            0.75,
            "warning",
            "chosen here: the embedded model starts at 0.6 and falls; a share that stays so high leaves few to reward",
        ),
        Check(
            "sampling_gap",
            sampling_gap,
            "sampling/sampling_logp_difference/mean",
            0.1,
            "warning",
            "chosen here: e^0.1 is 10 % a token; TRL's importance weights (vllm_importance_sampling_correction) mend "
            "less, and mask whole answers beyond a ratio of 3",
        ),
        Check(
            "stall",
            None,
            "step_time",
            20,
            "fatal",
            "chosen here: 20 times the usual step, and never under stall_seconds: checkpoints and long answers take "
            "less",
        ),
        Check(
            "restart",
            None,
            "step",
            1,
            "warning",
            "chosen here: a machine that loses a process once may do so again, so the first is said already",
        ),
    )
}


def limits(changes: Mapping[str, float | bool]) -> dict[str, float]:
    """The limit of every check that is on. A number replaces a default, ``False`` switches a check off."""
    return {
        name: check.limit if changes.get(name, True) is True else float(changes[name])
        for name, check in CHECKS.items()
        if changes.get(name, True) is not False
    }


def look(
    history: History, limits: Mapping[str, float], *, told: Collection[str] = (), stop_on: Collection[str] = ()
) -> Iterator[Finding]:
    """What the checks find in a job up to now, but for those in ``told``. Checks of ``stop_on`` are fatal."""
    for name, limit in limits.items():
        check = CHECKS[name]
        if check.function is None or name in told:
            continue
        seen = check.function(history, limit)
        if seen is not None:
            level = "fatal" if name in stop_on else check.level
            yield Finding(name, check.key, history.step, level, seen.value, limit, f"{seen.sentence} (limit {limit:g})")
