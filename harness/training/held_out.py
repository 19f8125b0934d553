"""Evaluation during training: every N steps, with the sampling of the recipe's evaluation, on held-out questions.

They come from the training split and are never trained on, so a checkpoint may be chosen by them: chosen by the test
questions, it would be judged by the luck it was chosen for. The final accuracy is that of the test questions alone.
Asking draws no random number that training would miss (:mod:`harness.models.engines.sampling`).
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.gate.statistics import accuracy_interval
from harness.rewards import RewardCalls
from harness.rewards.grading import grade
from harness.store.records import Record, SamplingParams, question_means
from harness.store.run_files import EVALUATIONS, HeldOut, Selected
from harness.training import ranks
from harness.training.job import Job, as_question, report_activity

if TYPE_CHECKING:
    from harness.models import Policy


class HeldOutEvaluation(TrainerCallback):  # type: ignore[misc]
    """Appends a line to ``evaluations.jsonl`` before the first step, every ``every_steps``, and after the last one.

    With ``keep_best`` the policy of the best line lies in ``best-<step>``. The base policy (step 0) is never chosen,
    and of equals the earliest is. The processes of a job share the questions out among them, and the main one
    saves and writes.
    """

    def __init__(self, job: Job, policy: Policy, directory: Path) -> None:
        assert job.held_out is not None
        self._job, self._policy, self._directory = job, policy, directory
        self._every, self._keep_best = int(job.held_out["every_steps"]), bool(job.held_out["keep_best"])
        self._decoding = SamplingParams(**job.held_out["decoding"])
        self._questions = {row["question_id"]: as_question(row) for row in job.held_out["rows"]}
        self._calls = RewardCalls(job.rewards)
        lines = list(EVALUATIONS.read(directory))
        self._done = {line.step for line in lines}
        self._best = max((line.accuracy for line in lines if line.step > 0), default=-1.0)
        self._writer = EVALUATIONS.writer(directory) if ranks.is_main() else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if self._job.lora is not None:  # the trainer's model has the adapter, the policy that it was made from has not
            self._policy = replace(self._policy, model=model)
        if state.global_step == 0:
            self._evaluate(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            self._evaluate(state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._evaluate(state.global_step)  # a training that a health check has ended

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint makes the evaluations before it final: weights of an overtaken one are not needed any more."""
        chosen = _chosen(list(EVALUATIONS.read(self._directory)))
        for folder in self._directory.glob("best-*") if self._writer is not None else ():
            if chosen is None or folder.name != f"best-{chosen.step}":
                shutil.rmtree(folder)

    def _evaluate(self, step: int) -> None:
        if step in self._done:
            return
        self._done.add(step)
        shares = ranks.gathered(self._own_records())
        if shares is None or self._writer is None:
            return
        report_activity(self._directory)
        records = [record for share in shares for record in share]
        means = list(question_means(records).values())
        accuracy = sum(means) / len(means) if means else 0.0
        best = step > 0 and accuracy > self._best
        if best:
            self._best = accuracy
            if self._keep_best:
                target = self._directory / f"best-{step}"
                self._policy.save(self._directory / ".best")
                shutil.rmtree(target, ignore_errors=True)  # of a try that was killed after it
                (self._directory / ".best").rename(target)
        self._writer.append(HeldOut(step, accuracy, accuracy_interval(means), len(self._questions), best))

    def _own_records(self) -> list[Record]:
        """The graded answers to this process's share of the questions."""
        from harness.models import generate

        mine, records = ranks.share(list(self._questions.values())), list[Record]()
        total = len(self._questions) * self._decoding.samples_per_question

        def report() -> None:
            if self._writer is not None:  # the main process's progress is that of all
                answers = len(records) * len(self._questions) // max(1, len(mine))
                report_activity(self._directory, "evaluating", answers, total)

        report()
        for batch in generate(self._policy, mine, self._decoding) if mine else ():
            records += grade(batch, self._questions, self._job.rewards, self._calls)
            report()
        return records


def _chosen(lines: list[HeldOut]) -> HeldOut | None:
    """The best evaluation so far; the base policy's is none."""
    return next((line for line in reversed(lines) if line.best), None)


def selection(job: Job, directory: Path, steps: int) -> Selected | None:
    """The checkpoint that was chosen by held-out accuracy; ``None`` where none was."""
    lines = list(EVALUATIONS.read(directory))
    chosen = _chosen(lines)
    if chosen is None or job.held_out is None or not job.held_out["keep_best"]:
        return None
    tried = sum(line.step > 0 for line in lines)
    sentence = (
        f"selected at step {chosen.step} of {steps} by held-out accuracy on {chosen.questions} questions, "
        f"the best of {tried} evaluations"
    )
    return Selected(chosen.step, steps, chosen.accuracy, chosen.interval, chosen.questions, tried, sentence)
