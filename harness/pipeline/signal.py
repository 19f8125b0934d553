"""The signal check's work in the training process: sample answers to training questions as GRPO will, and judge them.

The answers are kept in ``signal/`` of the run directory, and found again by content, there or in another run, where
the same policy may have sampled them to learn from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.gate.signal import summarise_signal
from harness.pipeline.answers import Answers
from harness.pipeline.fingerprint import Keys
from harness.recipe import EvaluateSection
from harness.recipe.trl_arguments import argument_defaults, completions_per_step, optimizer_steps
from harness.rewards import answer_form
from harness.store.errors import NoSignal
from harness.store.records import iter_records
from harness.store.run_directory import write_json
from harness.training.files import report_activity
from harness.training.spec import as_question

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.store.records import Record
    from harness.training.spec import Job

SECOND_LOOK = 4  # times as many questions before a job is refused: a false refusal costs a whole training


def check_signal(job: Job, policy: Policy, directory: Path) -> dict[str, Any] | None:
    """Write ``signal.json``; ``None`` where the check is switched off.

    Raises:
        NoSignal: fewer groups than the limit can be expected to carry a gradient.
    """
    if job.signal is None:
        return None
    asked = {**argument_defaults(job.method), **job.arguments}
    generations = int(asked["num_generations"])
    limit, first = float(job.signal["limit"]), int(job.signal["questions"])
    found: dict[str, Any] = {}
    for count in (first, SECOND_LOOK * first):
        if found and (not found["refused"] or count <= found["questions"] or len(job.rows) <= first):
            break
        found = summarise_signal(
            _answers(job, policy, directory, count),
            generations=generations,
            groups_per_step=max(1, completions_per_step(asked, job.processes) // generations),
            steps=optimizer_steps(asked, len(job.rows), job.processes),
            limit=limit,
            form=answer_form(job.rewards),
        )
    write_json(directory.parent / "signal.json", found)
    if found["refused"]:
        raise NoSignal(found["sentence"])
    return found


def _answers(job: Job, policy: Policy, directory: Path, count: int) -> list[Record]:
    """Graded answers to the first ``count`` training questions."""
    from harness.models.engines.local import TransformersEngine

    assert job.signal is not None
    stage, decoding = directory.parent / "signal", EvaluateSection(**job.signal["decoding"])
    questions = [as_question(row) for row in job.rows]
    asked, keys = questions[:count], Keys(**job.signal["keys"])

    def progress(done: int, total: int) -> None:
        report_activity(directory, f"signal check, {done}/{total} answers")

    with Answers(stage, questions, job.rewards, decoding, keys, map(Path, job.signal["kept"])) as answers:
        answers.fill(asked, lambda: TransformersEngine(policy), progress)
    counted = {question.id for question in asked}
    return [record for record in iter_records(stage) if record.question_id in counted]
