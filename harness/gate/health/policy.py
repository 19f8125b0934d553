"""Is the policy itself well? Entropy, distance from the reference model, gradients, and who samples."""

from __future__ import annotations

import math

from harness.gate.health.history import History, Seen

LOUD = 0.5  # nats a token; a rise that ends below is not running away, however low it began


def entropy_collapse(history: History, limit: float) -> Seen | None:
    """Entropy over the latest steps is under ``limit`` of what it was over the first ones."""
    first, latest = history.first("entropy"), history.latest("entropy")
    if first is None or latest is None or first <= 0 or latest / first >= limit:
        return None
    return Seen(latest / first, f"entropy fell from {first:.3f} to {latest:.3f} nats a token: samples hardly differ")


def entropy_runaway(history: History, limit: float) -> Seen | None:
    """Entropy over the latest steps is over ``limit`` times what it was over the first ones, and loud."""
    first, latest = history.first("entropy"), history.latest("entropy")
    if first is None or latest is None or latest < LOUD or first <= 0 or latest / first <= limit:
        return None
    return Seen(latest / first, f"entropy rose from {first:.3f} to {latest:.3f} nats a token: samples turn to noise")


def kl_blow_up(history: History, limit: float) -> Seen | None:
    """The KL divergence from the reference model is over ``limit`` nats a token; logged where ``beta`` is not 0."""
    kl = history.latest("kl")
    if kl is None or kl <= limit:
        return None
    return Seen(kl, f"KL divergence from the base model is {kl:.2f} nats a token")


def gradient_zero(history: History, limit: float) -> Seen | None:
    """The gradient norm was exactly 0 for the last ``limit`` logged steps."""
    latest = history.rows[-int(limit) :]
    if len(latest) < limit or any(row.get("grad_norm") != 0 for row in latest):
        return None
    return Seen(len(latest), f"the gradient norm was 0 for {len(latest)} logged steps: nothing is learned")


def gradient_not_finite(history: History, limit: float) -> Seen | None:
    """The gradient norm was infinite or not a number in ``limit`` logged steps."""
    norms = [row["grad_norm"] for row in history.rows if "grad_norm" in row]
    broken = sum(norm is None or not math.isfinite(norm) for norm in norms)
    if broken < limit:
        return None
    return Seen(broken, f"the gradient norm is not finite in {broken} logged step{'s' if broken > 1 else ''}")


def sampling_gap(history: History, limit: float) -> Seen | None:
    """The engine that samples and the model that is trained disagree on log-probabilities, in the mean over tokens."""
    gap = history.latest("sampling/sampling_logp_difference/mean")
    if gap is None or gap < limit:
        return None
    return Seen(
        gap,
        f"log-probabilities of the sampling engine and of the trained model differ by {gap:.3f} nats a token: "
        "training is off-policy",
    )
