"""Questions as chats: a system turn, worked examples as turns, and the question itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.store.errors import TaskError
from harness.store.question import Message, Question
from harness.store.run_directory import digest
from harness.tasks.forms import in_form


def with_prompts(
    questions: Iterable[Question],
    *,
    system_prompt: str,
    few_shot: int,
    examples: Sequence[Question],
    seed: int,
    form: str | None = None,
) -> tuple[Question, ...]:
    """The questions with their chats. ``examples`` are training questions; ``few_shot`` of them are drawn by seed.
    Worked solutions, shown or the questions' own, are in ``form`` (:mod:`harness.tasks.forms`) where one is given.

    The same examples stand before every question, except that a question is never shown itself: the next drawn one
    takes its place.

    Raises:
        TaskError: there are too few examples with a worked solution.
    """
    worked = list({each.text: each for each in examples if each.solution}.values()) if few_shot else []
    if len(worked) < few_shot + (few_shot > 0):
        raise TaskError(
            f"few_shot = {few_shot} needs {few_shot + 1} training questions with a worked solution, there are "
            f'{len(worked)}; lower it, or name the field that holds them: [task] fields = {{ solution = "..." }}'
        )
    # By a hash of each, so that other examples do not move these.
    drawn = sorted(worked, key=lambda each: digest(["few-shot", seed, each.text]))
    system: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt else []

    def chat(question: Question) -> tuple[Message, ...]:
        shown = [example for example in drawn[: few_shot + 1] if example.text != question.text][:few_shot]
        turns = list(system)
        for example in shown:
            turns.append({"role": "user", "content": example.text})
            turns.append({"role": "assistant", "content": solution(example) or ""})
        return (*turns, {"role": "user", "content": question.text})

    def solution(question: Question) -> str | None:
        if form is None or not question.solution:
            return question.solution
        return in_form(question.solution, question.ground_truth, form)

    return tuple(replace(each, prompt=chat(each), solution=solution(each)) for each in questions)
