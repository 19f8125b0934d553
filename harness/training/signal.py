"""The signal check's work in the training process: sample answers to training questions as GRPO will, and judge them.

The answers are kept in ``signal/`` of the run directory, and found again by content, there or in another run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import NoSignal
from harness.grading import grade
from harness.recipe import EvaluateSection
from harness.records import read_records
from harness.runs import LineWriter, read_json, read_lines, write_json, write_lines
from harness.signal_check import summarise_signal
from harness.training.arguments import argument_defaults, completions_per_step, optimizer_steps
from harness.training.files import report_activity
from harness.training.spec import as_question

if TYPE_CHECKING:
    from harness.policy import Policy
    from harness.records import Record
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
            _answers(job, policy, directory, job.rows[:count]),
            generations=generations,
            groups_per_step=max(1, completions_per_step(asked) // generations),
            steps=optimizer_steps(asked, len(job.rows)),
            limit=limit,
        )
    write_json(directory.parent / "signal.json", found)
    if found["refused"]:
        raise NoSignal(found["sentence"])
    return found


def _answers(job: Job, policy: Policy, directory: Path, rows: list[dict[str, Any]]) -> list[Record]:
    from harness.policy import generate

    assert job.signal is not None
    stage, key = directory.parent / "signal", {"key": job.signal["key"]}
    if read_json(stage / "key.json") != key:
        others = (Path(other) for other in job.signal["kept"])
        kept = next((other for other in others if read_json(other / "key.json") == key), None)
        write_lines(stage / "records.jsonl", [] if kept is None else read_lines(kept / "records.jsonl"))
        write_json(stage / "key.json", key)
    decoding = EvaluateSection(**job.signal["decoding"])
    questions = {row["question_id"]: as_question(row) for row in rows}
    done = {(record.question_id, record.sample) for record in read_records(stage)}
    total = len(questions) * decoding.samples_per_question
    with LineWriter(stage / "records.jsonl") as writer:
        for batch in generate(policy, list(questions.values()), decoding, skip=done):
            for record in grade(batch, questions, job.rewards):
                writer.append(record.to_json())
                done.add((record.question_id, record.sample))
            report_activity(directory, f"signal check, {len(done)}/{total} answers")
    return [record for record in read_records(stage) if record.question_id in questions]
