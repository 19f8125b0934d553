"""The signal check, a stage of a GRPO run: the base policy answers training questions as the trainer will ask them.

Its answers lie in ``signal/``, like those of any stage, and ``signal.json`` says what :mod:`harness.gate.signal` finds
in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.gate.signal import summarise_signal
from harness.pipeline.evaluate import EarlyStop, Evaluation
from harness.recipe.trl_arguments import argument_defaults, completions_per_step, optimizer_steps
from harness.rewards import answer_form
from harness.store.records import SamplingParams, iter_records

if TYPE_CHECKING:
    from pathlib import Path

    from harness.recipe import Recipe
    from harness.store.question import Question
    from harness.store.run_files import Signal

SECOND_LOOK = 4  # times as many questions before a job is refused: a false refusal costs a whole training


def find_signal(
    recipe: Recipe,
    questions: Sequence[Question],
    stage: Path,
    ask: Callable[[SamplingParams, Sequence[Question], EarlyStop], Evaluation],
) -> Signal:
    """``signal.json`` of a GRPO recipe that trains on these questions.

    ``ask`` has some of them answered in ``stage``: first as many as ``[health] signal_questions`` says, and where they
    would have the training refused, :data:`SECOND_LOOK` times as many.
    """
    asked, processes = {**argument_defaults("grpo"), **recipe.train.arguments}, recipe.launch.processes
    generations, first = int(asked["num_generations"]), recipe.health.signal_questions
    sampling = SamplingParams(
        max_new_tokens=asked["max_completion_length"] or recipe.evaluate.max_new_tokens,
        temperature=float(asked["temperature"]),
        top_p=float(asked["top_p"]),
        top_k=int(asked["top_k"] or 0),
        samples_per_question=generations,
        batch_size=recipe.evaluate.batch_size,
    )

    def found(count: int) -> Signal:
        counted = {question.id for question in questions[:count]}
        return summarise_signal(
            [record for record in iter_records(stage) if record.question_id in counted],
            generations=generations,
            groups_per_step=max(1, completions_per_step(asked, processes) // generations),
            steps=optimizer_steps(asked, len(questions), processes),
            limit=recipe.health.signal or 0.0,
            form=answer_form(recipe.rewards),
        )

    some = questions[: SECOND_LOOK * first]
    stops = [first, len(some)] if first < len(some) else [len(some)]
    made = ask(sampling, some, EarlyStop(stops, lambda means, count: not found(count).refused))
    return found(made.summary.questions)
