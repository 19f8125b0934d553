"""The signal check: will GRPO have anything to learn from? Pure functions of graded answers of the base policy.

A group of G answers whose rewards are all equal has no gradient. The share of a question's groups that have one is
estimated without bias from K >= G sampled answers: of the C(K, G) groups that these answers could have made, those that
are not all of one reward, ``1 - sum_v C(n_v, G) / C(K, G)`` with n_v answers of reward v (a U-statistic; Hoeffding
1948). Putting s/K for p into 1 - p^G - (1 - p)^G would be biased: at K = G = 4 and p = 0.1 it says 0.24 where 0.34 is
true. Rewards need not be binary: any difference makes a gradient.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from harness.gate.statistics import accuracy_interval
from harness.gate.verdicts import IN_VAIN
from harness.gate.wording import signal_advice, signal_sentence
from harness.store.records import Record, question_means
from harness.store.run_files import Signal


def signal_share(rewards: Sequence[float], generations: int) -> float | None:
    """The chance that a group of ``generations`` answers to this question differs in reward; ``None`` with fewer."""
    if len(rewards) < generations:
        return None
    equal = sum(math.comb(count, generations) for count in Counter(rewards).values())
    return 1 - equal / math.comb(len(rewards), generations)


def concentration(by_question: Sequence[Sequence[float]]) -> float | None:
    """How alike the questions are: c of a Dirichlet whose draws are the questions' own shares of each reward.

    By moments: two answers to one question agree with probability (c S + 1) / (c + 1), where S is the chance that two
    answers to different questions agree. ``None`` where questions look alike (c infinite) or nothing varies at all.
    """
    counts = [Counter(rewards) for rewards in by_question if len(rewards) > 1]
    if not counts:
        return None
    within = sum(sum(math.comb(n, 2) for n in count.values()) / math.comb(count.total(), 2) for count in counts) / len(
        counts
    )
    shares: defaultdict[float, float] = defaultdict(float)
    for count in counts:
        for value, n in count.items():
            shares[value] += n / count.total() / len(counts)
    across = sum(share * share for share in shares.values())
    across = (across * len(counts) - within) / (len(counts) - 1) if len(counts) > 1 else across  # of different ones
    return (1 - within) / (within - across) if within - across > 1e-9 else None


def summarise_signal(
    records: Sequence[Record],
    *,
    generations: int,
    groups_per_step: int,
    steps: int,
    limit: float,
    form: str | None = "box",
) -> Signal:
    """``signal.json``: what the sampled answers say of a training with groups of ``generations`` answers, which the
    rewards read in a ``form``.

    ``steps_without_signal`` takes the questions of a step as independent draws: steps * (1 - share)^groups.
    """
    by_question: dict[str, list[float]] = {}
    for record in records:
        rewards = by_question.setdefault(record.question_id, [])
        if record.reward is not None:
            rewards.append(record.reward)
    known = [signal_share(each, generations) for each in by_question.values()]
    shares = [each for each in known if each is not None]
    signal = sum(shares) / len(shares) if shares else 0.0
    means = list(question_means(records).values())
    statuses = Counter(record.status for record in records)
    truncated = sum(record.finish_reason == "length" for record in records)
    found = Signal(
        questions=len(by_question),
        samples_per_question=max(Counter(record.question_id for record in records).values()),
        num_generations=generations,
        accuracy=sum(means) / len(means) if means else 0.0,
        interval=accuracy_interval(means),
        signal_share=signal,
        signal_interval=accuracy_interval(shares),
        zero_std_share=1 - signal,
        steps=steps,
        groups_per_step=groups_per_step,
        steps_without_signal=steps * (1 - signal) ** groups_per_step,
        counts=dict(statuses),
        truncated=truncated,
        concentration=concentration(list(by_question.values())),
        limit=limit,
        refused=signal < limit,
    )
    advice = signal_advice(found, form) if signal < max(limit, 1 - IN_VAIN) else ()
    return _told(found, advice)


def summarise_learnable(found: Signal, kept: int, fewest: int, form: str | None = "box") -> Signal:
    """``signal.json`` where so many of the questions asked are ``kept`` to be trained on; the training is refused where
    they are fewer than fill a batch."""
    refused = kept < fewest
    return _told(replace(found, kept=kept, refused=refused), signal_advice(found, form) if refused else ())


def _told(found: Signal, advice: Sequence[str]) -> Signal:
    found = replace(found, advice=tuple(advice))
    return replace(found, sentence=signal_sentence(found))
