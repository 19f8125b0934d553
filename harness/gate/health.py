"""Health checks of a training job: what each reads, its limit, where the limit comes from, how grave it is.

    for finding in look(history, limits({"reward_collapse": 0.3})):
        print(finding.level, finding.sentence)

A check is one pure function of a ``History`` and a limit, put into :data:`CHECKS` by ``@_check``. It looks at each
logged step and speaks once a job. A *warning* is for a person to read; a *fatal* finding says that what was learned is
lost, and fails ``test_training_is_healthy``. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.gate.training_history import WINDOW, Group, History, Seen, share, standard_error
from harness.store.run_files import Finding

Level = Literal["warning", "fatal"]
Function = Callable[[History, float], Seen | None]


@dataclass(frozen=True, slots=True)
class Check:
    """``key`` is the TRL metric that it reads (``status`` is our own grader's, in ``completions.jsonl``); where the
    default ``limit`` comes from stands with the function.

    ``stall`` has no function: a hung process cannot look at itself, so :mod:`harness.training.launcher` does. Nor has
    ``restart``: it counts how often a job of several processes was started again, and speaks when one is.
    """

    name: str
    function: Function | None
    key: str
    limit: float
    level: Level


CHECKS: dict[str, Check] = {}


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
            level: Level = "fatal" if name in stop_on else check.level
            yield Finding(name, check.key, history.step, level, seen.value, limit, f"{seen.sentence} (limit {limit:g})")


def _check(key: str, limit: float, level: Level) -> Callable[[Function], Function]:
    def add(function: Function) -> Function:
        CHECKS[function.__name__] = Check(function.__name__, function, key, limit, level)
        return function

    return add


FEWEST_GROUPS = 16  # a share of fewer moves by more than 6 points with a single group


@_check("frac_reward_zero_std", 0.3, "warning")
def zero_std_groups(history: History, limit: float) -> Seen | None:
    """The share of groups with equal rewards exceeds the expected share by ``limit`` or more.

    With a binary reward, G generations and one success rate p the expected share is p^G + (1 - p)^G: 0.9 of such groups
    is as it should be at p = 0.02 and G = 4, so no constant can be the limit. See :func:`expected_share`.

    Limit: chosen here: the expected share is computed; 16 groups scatter by 0.125 at most, this is 2.4 times that.
    """
    groups = [group for group in history.latest_groups() if len(group.scored) > 1]
    if len(groups) < FEWEST_GROUPS:
        return None
    observed = sum(not group.differs for group in groups) / len(groups)
    expected = expected_share(groups, history.concentration)
    if observed - expected < limit:
        return None
    return Seen(
        observed - expected,
        f"{100 * observed:.0f} % of {len(groups)} groups had equal rewards where {100 * expected:.0f} % are expected "
        "at this success rate",
    )


def expected_share(groups: Sequence[Group], concentration: float) -> float:
    """Expected share of groups with equal rewards, from the rewards' marginal shares q.

    A question's own shares are taken as Dirichlet with mean q and this ``concentration`` c: value v has all G places of
    a group with probability prod_{i<G} (q c + i) / (c + i), which is q^G for questions that do not differ (c infinite)
    and q for questions that always answer the same (c = 0).
    """
    counts = Counter(reward for group in groups for reward in group.scored)
    sizes = Counter(len(group.scored) for group in groups)
    total = 0.0
    for size, times in sizes.items():
        for count in counts.values():
            chance = q = count / counts.total()
            for drawn in range(1, size):
                chance *= q if math.isinf(concentration) else (q * concentration + drawn) / (concentration + drawn)
            total += times * chance
    return total / len(groups)


@_check("completions/clipped_ratio", 0.3, "warning")
def truncation(history: History, limit: float) -> Seen | None:
    """The share of completions cut off at ``max_completion_length`` is ``limit`` or more.

    Limit: chosen here: rewards of cut answers are noise (DAPO, arXiv:2503.14476, section 3.4), and at a third of a
    batch they weigh as much as the rest.
    """
    cut = history.latest("completions/clipped_ratio")
    if cut is None or cut < limit:
        return None
    return Seen(cut, f"{100 * cut:.0f} % of completions were cut off at max_completion_length")


@_check("reward", 0.5, "fatal")
def reward_collapse(history: History, limit: float) -> Seen | None:
    """The reward, over the latest steps, has fallen under ``limit`` of its running best.

    Both are measured from the lowest reward that a completion of the latest steps got (0 for the shipped graders), so
    that a penalty does not turn the ratio around. A fall within three standard errors is luck.

    Limit: chosen here: half of the best is far beyond the scatter of 5 steps, which is taken off besides.
    """
    rewards = [row.get("reward") for row in history.rows]
    values = [value for value in rewards if isinstance(value, (int, float)) and math.isfinite(value)]
    if len(values) < 2 * WINDOW:
        return None
    means = [sum(values[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(values) + 1)]
    best, now = max(means), means[-1]
    latest = [reward for group in history.latest_groups() for reward in group.scored]
    first = [reward for group in history.first_groups() for reward in group.scored]
    floor = min([0.0, *latest, *first])
    if best - floor <= 0:
        return None
    ratio = (now - floor) / (best - floor)
    spread = history.first("reward_std") or history.latest("reward_std") or 0.0
    noise = 3 * spread * math.sqrt(2 / max(1, len(latest)))
    if ratio >= limit or best - now <= noise:
        return None
    return Seen(ratio, f"reward fell from its best, {best:.3f}, to {now:.3f}")


@_check("rewards/<name>/mean", 0.2, "warning")
def format_without_correctness(history: History, limit: float) -> Seen | None:
    """A reward that judges no answer rose by ``limit`` or more while the share of correct answers did not.

    Limit: chosen here: a rise of 20 points in form alone is what a policy that is paid for form learns first.
    """
    before, n_before = share((s for group in history.first_groups() for s in group.statuses), "correct")
    now, n_now = share((s for group in history.latest_groups() for s in group.statuses), "correct")
    if len(history.rows) < 2 * WINDOW or not n_before or not n_now:
        return None
    error = math.hypot(standard_error(before, n_before), standard_error(now, n_now))
    if now - before > error or before > 0.95:
        return None
    for name in history.formats:
        first, latest = history.first(f"rewards/{name}/mean"), history.latest(f"rewards/{name}/mean")
        if first is not None and latest is not None and rise(first, latest) >= limit:
            return Seen(
                rise(first, latest),
                f"reward {name} rose from {first:.2f} to {latest:.2f} while correct answers went from "
                f"{100 * before:.0f} % to {100 * now:.0f} %",
            )
    return None


@_check("reward", 0.2, "warning")
def reward_without_held_out(history: History, limit: float) -> Seen | None:
    """The training reward rose by ``limit`` or more since the first evaluation, and held-out accuracy did not rise.

    Limit: chosen here: were held-out accuracy to rise by 20 points too, 64 questions would hide it in 1 % of runs.
    """
    first, latest = history.first("reward"), history.latest("reward")
    if len(history.evaluations) < 2 or len(history.rows) < 2 * WINDOW or first is None or latest is None:
        return None
    was, is_now = (history.evaluations[at].accuracy for at in (0, -1))
    if rise(first, latest) < limit or is_now > was:
        return None
    return Seen(
        rise(first, latest),
        f"reward rose from {first:.3f} to {latest:.3f}, held-out accuracy went from {100 * was:.1f} % to "
        f"{100 * is_now:.1f} % on {history.evaluations[-1].questions} questions",
    )


@_check("entropy", 0.1, "warning")
def entropy_collapse(history: History, limit: float) -> Seen | None:
    """Entropy over the latest steps is under ``limit`` of what it was over the first ones.

    Limit: chosen here: Cui et al. 2025 (arXiv:2505.22617) tie the end of progress to entropy near 0; runs measured here
    that still gained fell to 0.16 of their start.
    """
    first, latest = history.first("entropy"), history.latest("entropy")
    if first is None or latest is None or first <= 0 or latest / first >= limit:
        return None
    return Seen(latest / first, f"entropy fell from {first:.3f} to {latest:.3f} nats a token: samples hardly differ")


LOUD = 0.5  # nats a token; a rise that ends below is not running away, however low it began


@_check("entropy", 3.0, "warning")
def entropy_runaway(history: History, limit: float) -> Seen | None:
    """Entropy over the latest steps is over ``limit`` times what it was over the first ones, and loud.

    Limit: chosen here: entropy falls while a policy learns; with 100 times its learning rate the embedded model is at
    16 times its start after 7 steps.
    """
    first, latest = history.first("entropy"), history.latest("entropy")
    if first is None or latest is None or latest < LOUD or first <= 0 or latest / first <= limit:
        return None
    return Seen(latest / first, f"entropy rose from {first:.3f} to {latest:.3f} nats a token: samples turn to noise")


@_check("kl", 1.0, "warning")
def kl_blow_up(history: History, limit: float) -> Seen | None:
    """The KL divergence from the reference model is over ``limit`` nats a token; logged where ``beta`` is not 0.

    Limit: chosen here: at 1 nat a token a sampled token is 2.7 times less likely under the base model, in the geometric
    mean.
    """
    kl = history.latest("kl")
    if kl is None or kl <= limit:
        return None
    return Seen(kl, f"KL divergence from the base model is {kl:.2f} nats a token")


@_check("grad_norm", 5, "warning")
def gradient_zero(history: History, limit: float) -> Seen | None:
    """The gradient norm was exactly 0 for the last ``limit`` logged steps.

    Limit: chosen here: one step without a gradient is luck in small batches, five in a row are not.
    """
    latest = history.rows[-int(limit) :]
    if len(latest) < limit or any(row.get("grad_norm") != 0 for row in latest):
        return None
    return Seen(len(latest), f"the gradient norm was 0 for {len(latest)} logged steps: nothing is learned")


@_check("grad_norm", 1, "fatal")
def gradient_not_finite(history: History, limit: float) -> Seen | None:
    """The gradient norm was infinite or not a number in ``limit`` logged steps.

    Limit: a step by NaN leaves no weight; torch.nn.utils.clip_grad_norm_ does not stop it.
    """
    norms = [row["grad_norm"] for row in history.rows if "grad_norm" in row]
    broken = sum(norm is None or not math.isfinite(norm) for norm in norms)
    if broken < limit:
        return None
    return Seen(broken, f"the gradient norm is not finite in {broken} logged step{'s' if broken > 1 else ''}")


@_check("status", 0.75, "warning")
def no_answer(history: History, limit: float) -> Seen | None:
    """The share of completions without an answer to grade is ``limit`` or more, and has not fallen since the start.

    Limit: chosen here: the embedded model starts at 0.6 and falls; a share that stays so high leaves few to reward.
    """
    if len(history.rows) < 2 * WINDOW:
        return None
    before, n_before = share((s for group in history.first_groups() for s in group.statuses), "no_answer")
    now, n_now = share((s for group in history.latest_groups() for s in group.statuses), "no_answer")
    if not n_before or not n_now or now < limit or before - now > standard_error(before, n_before):
        return None
    return Seen(now, f"{100 * now:.0f} % of completions held no answer to grade ({100 * before:.0f} % at the start)")


@_check("sampling/sampling_logp_difference/mean", 0.1, "warning")
def sampling_gap(history: History, limit: float) -> Seen | None:
    """The engine that samples and the model that is trained disagree on log-probabilities, in the mean over tokens.

    Limit: chosen here: e^0.1 is 10 % a token; TRL's importance weights (vllm_importance_sampling_correction) mend less,
    and mask whole answers beyond a ratio of 3.
    """
    gap = history.latest("sampling/sampling_logp_difference/mean")
    if gap is None or gap < limit:
        return None
    return Seen(
        gap,
        f"log-probabilities of the sampling engine and of the trained model differ by {gap:.3f} nats a token: "
        "training is off-policy",
    )


# 20 times the usual step, and never under stall_seconds: checkpoints and long answers take less.
CHECKS["stall"] = Check("stall", None, "step_time", 20, "fatal")
# A machine that loses a process once may do so again, so the first is said already.
CHECKS["restart"] = Check("restart", None, "step", 1, "warning")


def rise(first: float, latest: float) -> float:
    """From one reward to another, in units of the reward where it is larger than 1: limits are made for 0 to 1."""
    return (latest - first) / max(1.0, abs(first), abs(latest))
