"""The signal check, a stage of a GRPO run: the base policy answers training questions as the trainer will ask them.

Its answers lie in ``signal/``, like those of any stage, and ``signal.json`` says what :mod:`harness.gate.signal` finds
in them. With ``[task] learnable`` they also choose the questions that are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.gate.signal import summarise_learnable, summarise_signal
from harness.pipeline.evaluate import EarlyStop, Evaluation
from harness.recipe.checks import fewest_questions
from harness.recipe.trl_arguments import argument_defaults, completions_per_step, optimizer_steps
from harness.rewards import answer_form
from harness.rewards.grading import try_rewards
from harness.store.errors import NoSignal
from harness.store.records import SamplingParams, iter_records
from harness.store.run_files import SIGNAL

if TYPE_CHECKING:
    from pathlib import Path

    from harness.recipe import Recipe
    from harness.store.question import Question
    from harness.store.run_files import Signal

Ask = Callable[[SamplingParams, Sequence["Question"], EarlyStop], Evaluation]
"""Has the base policy answer questions in the stage ``signal``."""
SECOND_LOOK = 4  # times as many questions before a job is refused: a false refusal costs a whole training


def look_for_signal(
    recipe: Recipe, questions: Sequence[Question], directory: Path, ask: Ask, say: Callable[[str], None]
) -> tuple[Question, ...]:
    """``signal.json`` of a GRPO run, before its training begins, and those of its training questions to train on.

    Raises:
        NoSignal: there is next to nothing to learn from them.
        TrainingError: a reward function is missing or raises, and so would find no signal either.
    """
    learnable = recipe.task.learnable
    if not learnable and (recipe.health.signal is None or recipe.train.method != "grpo"):
        return tuple(questions)
    try_rewards(recipe.rewards, questions[0])
    if learnable:
        kept, found = find_learnable(recipe, questions, directory / "signal", ask)
    else:
        kept, found = tuple(questions), find_signal(recipe, questions, directory / "signal", ask)
    SIGNAL.write(directory, found)
    if found.refused:
        raise NoSignal(found.sentence)
    if found.advice or found.kept is not None:
        say(found.sentence)
    return kept


def find_signal(recipe: Recipe, questions: Sequence[Question], stage: Path, ask: Ask) -> Signal:
    """``signal.json`` of a GRPO recipe that trains on these questions.

    ``ask`` has some of them answered in ``stage``: first as many as ``[health] signal_questions`` says, and where they
    would have the training refused, :data:`SECOND_LOOK` times as many.
    """
    first = recipe.health.signal_questions

    def found(count: int) -> Signal:
        return _summary(recipe, questions[:count], stage, len(questions), recipe.health.signal or 0.0)

    some = questions[: SECOND_LOOK * first]
    stops = [first, len(some)] if first < len(some) else [len(some)]
    made = ask(_sampling(recipe), some, EarlyStop(stops, lambda means, count: not found(count).refused))
    return found(made.summary.questions)


def find_learnable(
    recipe: Recipe, questions: Sequence[Question], stage: Path, ask: Ask
) -> tuple[tuple[Question, ...], Signal]:
    """The questions whose answers are right sometimes and not always, in their order, and ``signal.json``; none of the
    others has a gradient where right answers alone are paid (DAPO, arXiv:2503.14476, leaves them out of each batch).

    ``ask`` has one ``[health] signal_questions`` after another answered in ``stage``, until there are enough.
    """
    most = len(questions) if recipe.task.learnable is True else int(recipe.task.learnable)
    stops = [*range(recipe.health.signal_questions, len(questions), recipe.health.signal_questions), len(questions)]

    def learnable(means: Mapping[str, float]) -> list[str]:
        return [question for question, share in means.items() if 0 < share < 1]

    made = ask(_sampling(recipe), questions, EarlyStop(stops, lambda means, count: len(learnable(means)) >= most))
    found = set(learnable(made.means))
    kept = tuple(question for question in questions if question.id in found)[:most]
    signal = _summary(recipe, questions[: made.summary.questions], stage, len(kept), 0.0)
    return kept, summarise_learnable(signal, len(kept), fewest_questions(recipe), answer_form(recipe.rewards))


def _sampling(recipe: Recipe) -> SamplingParams:
    """How the trainer samples."""
    asked = _arguments(recipe)
    return SamplingParams(
        max_new_tokens=asked["max_completion_length"] or recipe.evaluate.max_new_tokens,
        temperature=float(asked["temperature"]),
        top_p=float(asked["top_p"]),
        top_k=int(asked["top_k"] or 0),
        samples_per_question=int(asked["num_generations"]),
        batch_size=recipe.evaluate.batch_size,
    )


def _summary(recipe: Recipe, asked: Sequence[Question], stage: Path, trained_on: int, limit: float) -> Signal:
    arguments, processes = _arguments(recipe), recipe.launch.processes
    generations, counted = int(arguments["num_generations"]), {question.id for question in asked}
    return summarise_signal(
        [record for record in iter_records(stage) if record.question_id in counted],
        generations=generations,
        groups_per_step=max(1, completions_per_step(arguments, processes) // generations),
        steps=optimizer_steps(arguments, max(1, trained_on), processes),
        limit=limit,
        form=answer_form(recipe.rewards),
    )


def _arguments(recipe: Recipe) -> dict[str, Any]:
    return {**argument_defaults("grpo"), **recipe.train.arguments}
