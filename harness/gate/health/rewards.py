"""Is the reward what it seems? Collapse, format without correctness, and training against held-out questions."""

from __future__ import annotations

import math

from harness.gate.health.history import WINDOW, History, Seen, share, standard_error


def reward_collapse(history: History, limit: float) -> Seen | None:
    """The reward, over the latest steps, has fallen under ``limit`` of its running best.

    Both are measured from the lowest reward that a completion of the latest steps got (0 for the shipped graders), so
    that a penalty does not turn the ratio around. A fall within three standard errors is luck.
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


def format_without_correctness(history: History, limit: float) -> Seen | None:
    """A reward that judges no answer rose by ``limit`` or more while the share of correct answers did not."""
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


def reward_without_held_out(history: History, limit: float) -> Seen | None:
    """The training reward rose by ``limit`` or more since the first evaluation, and held-out accuracy did not rise."""
    first, latest = history.first("reward"), history.latest("reward")
    if len(history.evaluations) < 2 or len(history.rows) < 2 * WINDOW or first is None or latest is None:
        return None
    was, is_now = (float(history.evaluations[at]["accuracy"]) for at in (0, -1))
    if rise(first, latest) < limit or is_now > was:
        return None
    return Seen(
        rise(first, latest),
        f"reward rose from {first:.3f} to {latest:.3f}, held-out accuracy went from {100 * was:.1f} % to "
        f"{100 * is_now:.1f} % on {history.evaluations[-1]['questions']} questions",
    )


def rise(first: float, latest: float) -> float:
    """From one reward to another, in units of the reward where it is larger than 1: limits are made for 0 to 1."""
    return (latest - first) / max(1.0, abs(first), abs(latest))
