"""Ask, grade, record: all answers of one policy to one set of questions, kept as they come.

A stage directory (``before/`` or ``after/``) holds ``key.json`` (what decides the answers and what decides their
grades), ``records.jsonl`` and, when every question is answered, ``summary.json``. Answers and grades have separate
keys: with a changed grader the kept answers are graded again and nothing is generated. Records pass by one at a time:
an evaluation holds no texts unless :attr:`Evaluation.records` is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.pipeline.answers import Answers
from harness.pipeline.fingerprint import Keys
from harness.rewards.at_k import at_k
from harness.rewards.grading import summarise
from harness.store.errors import TaskError
from harness.store.faults import FILE as FAULTS
from harness.store.faults import Faults
from harness.store.records import Record, iter_records, question_means, read_records
from harness.store.run_directory import count_lines, read_json, write_json, write_lines
from harness.tasks import Question

if TYPE_CHECKING:
    import pandas as pd

    from harness.models.engines import Engine
    from harness.store.records import SamplingParams


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When asking may end before every question is asked: after one of ``stops`` questions, where ``decided(share
    correct by question id, questions asked so far)`` says that the verdict is known. All questions are the last stop.
    """

    stops: Sequence[int]
    decided: Callable[[Mapping[str, float], int], bool]


class Evaluation:
    """A finished evaluation, read from its stage directory when asked.

    ``generated`` of its answers, with so many tokens, were generated for the call that returned it.
    """

    def __init__(self, directory: Path, order: Sequence[str], generated: int = 0, generated_tokens: int = 0) -> None:
        self.directory = directory
        self.order = tuple(order)
        self.generated, self.generated_tokens = generated, generated_tokens

    @cached_property
    def records(self) -> list[Record]:
        """All records, in the order of the questions and then of the samples."""
        place = {question: index for index, question in enumerate(self.order)}
        return sorted(read_records(self.directory), key=lambda record: (place[record.question_id], record.sample))

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """``summary.json``: the fields of ``Summary``, the keys, seconds, peak memory, and
        under ``slow`` why ``model.generate`` had to answer, where it had to."""
        return read_json(self.directory / "summary.json") or {}

    @property
    def accuracy(self) -> float:
        """Mean over questions of the share of correct answers."""
        return float(self.summary["accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`accuracy`."""
        low, high = self.summary["interval"]
        return float(low), float(high)

    @cached_property
    def at_k(self) -> Mapping[str, Any] | None:
        """pass@k, majority@k and mean@k (:mod:`harness.rewards.at_k`); ``None`` for one answer a question."""
        kept: Mapping[str, Any] | None = self.summary.get("at_k")
        in_looks = self.summary.get("interval_kind") == "anytime"
        samples = int(self.summary["samples_per_question"])
        return kept or at_k(iter_records(self.directory), samples, in_looks=in_looks, order=self.order)

    @cached_property
    def means(self) -> dict[str, float]:
        """Share correct by question id; questions without a scored answer are missing."""
        means = question_means(iter_records(self.directory))
        return {question: means[question] for question in self.order if question in means}

    def forget(self) -> None:
        """Let go of the records; they are read again when they are asked for."""
        self.__dict__.pop("records", None)

    def frame(self) -> pd.DataFrame:
        """One row a completion, columns as in a record, with ``reward:<function>`` columns beside ``reward``."""
        import pandas as pd

        rows = []
        for record in self.records:
            row = asdict(record)
            row |= {f"reward:{name}": value for name, value in row.pop("rewards").items()}
            row |= {name: grade["correct"] for name, grade in row.pop("grades").items()}
            rows.append(row)
        return pd.DataFrame(rows)


def evaluate(
    stage: Path,
    questions: Sequence[Question],
    rewards: Mapping[str, float],
    decoding: SamplingParams,
    keys: Keys,
    *,
    open_engine: Callable[[], Engine],
    kept_stages: Iterable[Path] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    early: EarlyStop | None = None,
    session: str | None = None,
) -> Evaluation:
    """Make ``stage`` a finished evaluation, doing only what is not there yet.

    Args:
        open_engine: called only if something has to be generated.
        kept_stages: stage directories of other runs; answers to the same questions with the same keys are copied
            from them, and only the others are asked for.
        progress: called with completions done and in all, after each batch.
        early: asks the questions in their order, up to where the verdict is known; ``None`` asks all.
        session: answers that could not be had are asked for again, but not twice by one session.
    """
    order = [question.id for question in questions]
    if _is_complete(stage, keys, early, session):
        return Evaluation(stage, order)
    with Answers(stage, questions, rewards, decoding, keys, kept_stages) as answers:
        for asked in early.stops if early else [len(questions)]:
            answers.fill(questions[:asked], open_engine, progress)
            if early and early.decided(answers.means(), asked):
                break
    counted = set(order[:asked])
    records = (record for record in iter_records(stage) if record.question_id in counted)
    summary = summarise(records, order[:asked], decoding.samples_per_question, in_looks=early is not None)
    if summary.counts["unscored"] == sum(summary.counts.values()):
        raise TaskError(f"{stage}: no answer could be graded; look at the reward functions {', '.join(rewards)}")
    known = read_json(stage / "summary.json") or {}
    measured = {key: known.get(key) for key in ("seconds", "device", "model", "peak_memory_bytes", "slow")}
    if cost := answers.cost:
        measured |= {**cost, "seconds": cost["seconds"] + (measured["seconds"] or 0.0)}
    write_json(
        stage / "summary.json",
        {
            **summary.to_json(),
            "planned_questions": len(questions),
            "generation_key": keys.generation,
            "grading_key": keys.grading,
            **({"session": session} if summary.unanswered else {}),
            **measured,
            "source": answers.taken.most if measured["seconds"] is None else None,
            "kept": asdict(answers.taken) if answers.taken.answers else None,
        },
    )
    return Evaluation(stage, order, answers.generated, answers.generated_tokens)


def rewrite(stage: Path, records: Sequence[Record], order: Sequence[str], faults: Faults) -> None:
    """Put other grades of the same answers in a finished stage, with their summary and what failed in giving them.

    The stage's grading key is taken away: whoever asks for this evaluation again grades by their own graders.
    """
    known = read_json(stage / "summary.json")
    if kept := read_json(stage / "key.json"):
        write_json(stage / "key.json", {**kept, "grading": None, "grader": None})
    write_lines(stage / "records.jsonl", (record.to_json() for record in records))
    if faults:
        write_json(stage / FAULTS, faults.to_json())
    else:
        (stage / FAULTS).unlink(missing_ok=True)
    if known is not None:
        asked = order[: known["questions"]]
        place = {question: index for index, question in enumerate(order)}
        ordered = sorted(records, key=lambda record: (place[record.question_id], record.sample))
        in_looks = known.get("interval_kind") == "anytime"
        summary = summarise(ordered, asked, known["samples_per_question"], in_looks=in_looks)
        write_json(stage / "summary.json", {**known, **summary.to_json(), "grading_key": None})


def _is_complete(stage: Path, keys: Keys, early: EarlyStop | None, session: str | None) -> bool:
    summary = read_json(stage / "summary.json") or {}
    if summary.get("generation_key") != keys.generation or summary.get("grading_key") != keys.grading:
        return False
    if summary.get("unanswered") and (session is None or summary.get("session") != session):
        return False
    if count_lines(stage / "records.jsonl") < sum(summary["counts"].values()):
        return False  # a copy of the directory that was not finished
    asked = int(summary["questions"])
    everything: bool = asked == summary.get("planned_questions")
    if early is None:
        return everything and bool(summary["interval_kind"] == "fixed")
    return everything or early.decided(question_means(iter_records(stage)), asked)
