"""``rl-harness gate-check`` and ``regrade``: is the gate honest, and what would
today's graders say?"""

from __future__ import annotations

import argparse
import tomllib
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

from harness.cli.look import require_run
from harness.cli.progress import Progress
from harness.cli.work import chosen_recipe, settings
from harness.gate.against_baseline import judge_against_baseline
from harness.gate.wording import percent
from harness.pipeline.baselines import SAMPLED
from harness.pipeline.evaluate import rewrite
from harness.pipeline.manifest import read_questions
from harness.pipeline.run import Run
from harness.recipe.checks import read_rewards
from harness.recipe.needs import look_beside_recipe_of
from harness.rewards import RewardCalls
from harness.rewards.grading import grade_kept
from harness.rewards.settings import Rewards
from harness.store.errors import HarnessError
from harness.store.records import correct_counts, read_records
from harness.store.stages import SIDES


def gate_check(options: argparse.Namespace) -> int:
    """Answers of one policy, held against its own baseline with a new seed each time; every REGRESSED is a false alarm.

    Always 0: with few runs, a count above ``alpha`` may be luck, so the rates are for a person to read.
    """
    if options.runs < 1:
        raise HarnessError(f"--runs {options.runs} asks nothing; give 1 or more")
    recipe = chosen_recipe(options)
    temperature = recipe.evaluate.temperature if options.temperature is None else options.temperature
    temperature = temperature or 1.0  # greedy answers are the same whatever the seed
    if not options.trained:  # without a training, this is no run that anyone wants listed
        options.runs_dir = options.runs_dir / ".gate-check"
    words: Counter[str] = Counter()
    asked = []
    with Progress() as progress:
        run = Run(recipe, None, settings(options, session=uuid.uuid4().hex, announce=progress, say=progress.say))
        order = [question.id for question in run.questions.test]
        decoding = replace(recipe.evaluate.sampling, temperature=temperature, samples_per_question=SAMPLED)
        baseline = run.ask("gate-check/baseline", decoding, trained=options.trained)
        correct = correct_counts(baseline.records, order)
        for seed in range(1, options.runs + 1):
            once = replace(decoding, samples_per_question=1, seed=decoding.seed + seed)
            again = run.ask(f"gate-check/{seed}", once, trained=options.trained)
            verdict = judge_against_baseline(
                correct,
                again.means,
                order,
                samples=SAMPLED,
                commit=f"check {seed}",
                margin=recipe.gate.margin,
                alpha=recipe.gate.alpha,
            )
            words[verdict.verdict] += 1
            asked.append(verdict.numbers.get("certain_after") or len(order))
            progress("gate-check", f"{seed}/{options.runs} runs")
    whose = "the trained policy" if options.trained else "the base policy"
    print(
        f"{recipe.name}: {whose}, {percent(baseline.accuracy)} right at temperature {temperature:g}, "
        f"asked {options.runs} times with new seeds"
    )
    for word in sorted(words):
        print(f"  {word:<13} {words[word]:>4}  {percent(words[word] / options.runs)}")
    print(
        f"false alarms: {words['REGRESSED']} of {options.runs} (at most {percent(recipe.gate.alpha)} are expected); "
        f"{sum(asked) / len(asked):.0f} of {len(order)} questions decided on average"
    )
    if words["INCONCLUSIVE"] > options.runs / 2:
        print(f"{len(order)} questions seldom decide: rl-harness plan {options.recipe} says how many would")
    return 0


def regrade(options: argparse.Namespace) -> int:
    """Which kept grades would change under today's graders; ``--write`` keeps the new ones."""
    directory: Path = options.run
    require_run(directory)
    rewards = _rewards_of(directory / "recipe.toml")
    look_beside_recipe_of(directory)
    questions = {question.id: question for question in read_questions(directory)}
    for stage in SIDES:
        records = read_records(directory / stage)
        if not records:
            continue
        calls = RewardCalls(rewards)
        again = list(grade_kept(records, questions, calls))
        changed = [(old, new) for old, new in zip(records, again, strict=True) if old != new]
        right = [sum(record.status == "correct" for record in each) / len(each) for each in (records, again)]
        print(f"{stage}: {len(changed)} of {len(records)} grades change, {percent(right[0])} -> {percent(right[1])}")
        for old, new in changed[:20]:
            print(f"  {old.question_id} sample {old.sample}: {old.status} -> {new.status}, reads {new.extracted!r}")
        if len(changed) > 20:
            print(f"  and {len(changed) - 20} more")
        for sentence in calls.faults.sentences():
            print(f"  {sentence}")
        if options.write:
            rewrite(directory / stage, again, list(questions), calls.faults)
    return 0


def _rewards_of(path: Path) -> Rewards:
    """``[rewards]`` of a run's recipe, and no more: another recipe that it starts from may lie elsewhere."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("rewards")
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: cannot be read ({error})") from None
    return read_rewards(table, path)
