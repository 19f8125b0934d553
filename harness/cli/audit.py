"""``rl-harness audit``: what reward functions pay for, without asking a model. It needs no torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.pipeline.run import Run, Settings
from harness.recipe import parse_changes
from harness.recipe.catalog import find_recipe
from harness.recipe.needs import check_data, look_beside
from harness.rewards import SHIPPED, Rewards, resolve_reward
from harness.rewards.audit import FAMILIES, Audit, audit_rewards
from harness.rewards.parameters import check_parameters
from harness.store.run_directory import plain

# What a shipped function that needs parameters is tried with, where no recipe gives them.
EXAMPLES = {"length_penalty": {"max_tokens": 400, "soft_tokens": 100}}
_SHOWN = 12


def audit(options: argparse.Namespace) -> int:
    """Audit a recipe's rewards or one reward function; 1 where something is wrongly paid or refused."""
    made = _audit(options)
    if options.json:
        print(*json.dumps(plain(made.to_json()), indent=2).splitlines(), sep="\n")
    else:
        print(*_lines(made), sep="\n")
    return int(bool(made.findings))


def _audit(options: argparse.Namespace) -> Audit:
    target: str = options.target
    if target in SHIPPED or (":" in target and not target.endswith(".toml")):
        look_beside(None)
        example = EXAMPLES.get(target, {})
        check_parameters(target, resolve_reward(target), example, shipped=target in SHIPPED)
        return audit_rewards(Rewards({target: 1.0}, {target: example} if example else {}))
    recipe = find_recipe(target, Path("suites/recipes"))
    if options.set:
        recipe = recipe.override(parse_changes(options.set), [f"--set {each}" for each in options.set])
    if options.limit is not None:
        recipe = recipe.limited(options.limit)
    check_data(recipe, options.data, "--data")
    run = Run(recipe, None, Settings(data=options.data))
    return audit_rewards(recipe.rewards, (*run.questions.train, *run.questions.test))


def _lines(made: Audit) -> list[str]:
    lines = []
    for each in made.rewards:
        held = "held to nothing" if each.promise == "free" else f"promises {each.promise}"
        lines.append(
            f"{each.name} (weight {made.weights[each.name]:g}, {held}, reads {each.form}): {len(each.cases)} cases"
        )
        counts = each.counts()
        if each.promise != "free":
            lines += [f"  {family:<11} {counts[family][0]} of {counts[family][1]} as promised" for family in FAMILIES]
        same = "the same" if each.deterministic else "NOT the same"
        lines.append(
            f"  {each.seconds_per_completion * 1e6:,.0f} microseconds a completion, at most "
            f"{each.slowest_seconds:.2f} s ({each.slowest}); {same} twice, shuffled and one by one"
        )
    for gold in made.golds:
        accepted, one_more = gold.questions - len(gold.refused), len(gold.accepted_one_more)
        lines.append(
            f"{gold.name} accepts {accepted} of {gold.questions} gold answers of the task, "
            f"and {one_more} of {gold.numbers} that are one more"
        )
    right, wrong, nothing = map(_value, (made.right, made.wrong, made.nothing))
    lines.append(f"in all: a right answer gets {right}, a wrong one {wrong}, none {nothing}")
    hacks = made.hacks_paid()
    lines.append(f"hacks paid more than a wrong answer: {len(hacks)}")
    lines += [f"  {_value(each.total):>6}  {each.name}" for each in hacks[:_SHOWN]]
    if len(hacks) > _SHOWN:
        lines.append(f"  and {len(hacks) - _SHOWN} more")
    lines.append(f"strict and flexible grading disagree on {len(made.disagreements)} cases")
    lines += [f"FAULT  {finding}" for finding in made.findings]
    return lines


def _value(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3g}"
