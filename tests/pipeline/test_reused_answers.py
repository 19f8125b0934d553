"""Answers found question by question: what another run was asked is not asked again, and nothing else is believed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.pipeline import evaluate as answers_module
from harness.pipeline.evaluate import EarlyStop, Evaluation, Keys, evaluate
from harness.pipeline.fingerprint import generation_identity, grading_identity
from harness.recipe import EngineSection, Recipe, TaskSection
from harness.store.records import KEY, RECORDS, Generation, SamplingParams
from harness.store.run_directory import LineWriter, read_json, write_json
from harness.tasks import Question

QUESTIONS = [
    Question(f"q{n}", f"{n}?", str(n), "test", prompt=({"role": "user", "content": f"{n}?"},)) for n in range(100)
]
REWARDS = {"boxed_numeric": 1.0}
SETTINGS = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
Ask = Callable[..., Evaluation]


def keys(generation: str, *, answer: str = "policy", grading: str = "", grader: str = "graders") -> Keys:
    return Keys(generation, grading or f"{grader} {generation}", answer, grader)


class Model:
    """An engine that says the right answer at even samples, a word at the others, and notes what it was asked."""

    name, model, device = "made-up", "made-up", "cpu"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def answer(
        self, questions: Sequence[Question], decoding: SamplingParams, skip: Collection[tuple[str, int]]
    ) -> Iterator[list[Generation]]:
        for question in reversed(questions):
            for sample in range(decoding.samples_per_question):
                if (question.id, sample) not in skip:
                    self.asked.append((question.id, sample))
                    said = rf"\boxed{{{question.text[:-1]}}}" if sample % 2 == 0 else f"word {sample}"
                    yield [Generation(question.id, sample, decoding.seed, question.prompt, said, "stop", 5, 10)]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def ask(model: Model, tmp_path: Path) -> Ask:
    """``ask(run, questions, keys)``: an evaluation that looks for answers in every other run."""

    def ask(run: str, questions: Sequence[Question], own: Keys, samples: int = 1, **more: Any) -> Evaluation:
        model.asked = []
        root = more.pop("root", tmp_path)
        decoding = SamplingParams(temperature=float(samples > 1), samples_per_question=samples, seed=3)
        arguments = {"rewards": REWARDS, "sampling": decoding, "open_engine": lambda: model, **more}
        others = sorted(path.parent for path in root.glob("*/*/key.json"))
        return evaluate(root / run / "before", questions, keys=own, others=others, **arguments)

    return ask


def test_only_the_questions_that_nobody_asked_are_asked(ask: Ask, model: Model) -> None:
    small = ask("a", QUESTIONS[:20], keys("small"))
    large = ask("b", QUESTIONS[:50], keys("large"))
    assert sorted(model.asked) == sorted((question.id, 0) for question in QUESTIONS[20:50])
    assert large.records[:20] == small.records
    assert (large.generated, large.summary.reused) == (30, {"a": 20})
    assert large.summary.reused_seconds == pytest.approx(small.summary.seconds)
    third = ask("c", QUESTIONS[10:60], keys("third"))
    assert sorted(model.asked) == sorted((question.id, 0) for question in QUESTIONS[50:60])
    assert third.summary.reused == {"a": 10, "b": 30}
    whole = ask("d", QUESTIONS[5:15], keys("whole"))
    assert model.asked == []
    assert (whole.summary.seconds, whole.summary.reused) == (None, {"a": 10})


def test_more_samples_reuse_the_fewer_there_are(ask: Ask, model: Model) -> None:
    two = ask("a", QUESTIONS[:5], keys("two"), samples=2)
    four = ask("b", QUESTIONS[:5], keys("four"), samples=4)
    assert sorted(model.asked) == [(f"q{n}", sample) for n in range(5) for sample in (2, 3)]
    assert [each for each in four.records if each.sample < 2] == two.records
    assert four.summary.counts["correct"] == 10
    one = ask("c", QUESTIONS[:5], keys("one"), samples=2)
    assert (model.asked, one.records) == ([], two.records)


wanted = st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True)


@given(first=wanted, second=wanted, samples=st.tuples(st.integers(2, 4), st.integers(2, 4)))
@SETTINGS
def test_what_is_asked_is_what_is_missing(
    first: list[int], second: list[int], samples: tuple[int, int], ask: Ask, model: Model, tmp_path_factory: Any
) -> None:
    root = tmp_path_factory.mktemp("runs")
    ask("a", [QUESTIONS[n] for n in first], keys("first"), samples=samples[0], root=root)
    there = set(model.asked)
    found = ask("b", [QUESTIONS[n] for n in second], keys("second"), samples=samples[1], root=root)
    everything = {(f"q{n}", sample) for n in second for sample in range(samples[1])}
    assert set(model.asked) == everything - there
    assert len(model.asked) == len(set(model.asked))
    alone = ask("c", [QUESTIONS[n] for n in second], keys("second", answer="another"), samples=samples[1], root=root)
    assert (found.records, found.means) == (alone.records, alone.means)
    same = ("accuracy", "interval", "counts", "mean_reward", "at_k", "completion_tokens")
    assert [getattr(found.summary, name) for name in same] == [getattr(alone.summary, name) for name in same]


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTIONS[0], id="another"),
        replace(QUESTIONS[0], prompt=({"role": "user", "content": "0 ?"},)),
        replace(QUESTIONS[0], prompt=({"role": "system", "content": "x"}, *QUESTIONS[0].prompt)),
    ],
)
def test_another_question_is_asked(other: Question, ask: Ask, model: Model) -> None:
    ask("a", QUESTIONS[:3], keys("first"))
    ask("b", [other, *QUESTIONS[1:3]], keys("second"))
    assert model.asked == [(other.id, 0)]


@pytest.mark.parametrize("own", [keys("b", answer="other"), Keys("b", "grades"), keys("b", answer="")])
def test_another_policy_or_an_unknown_one_is_asked(own: Keys, ask: Ask, model: Model) -> None:
    ask("a", QUESTIONS[:3], keys("a"))
    ask("b", QUESTIONS[:3], own)
    assert len(model.asked) == 3


class Counting:
    """Counts how many answers were graded now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graded, grade = 0, answers_module.grade

        def counted(generations: Sequence[Generation], *arguments: Any) -> Any:
            self.graded += len(generations)
            return grade(generations, *arguments)

        monkeypatch.setattr(answers_module, "grade", counted)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_grades_are_kept_too(ask: Ask, counting: Counting) -> None:
    ask("a", QUESTIONS[:10], keys("a"))
    counting.graded = 0
    ask("b", QUESTIONS[:20], keys("b"))
    assert counting.graded == 10
    ask("c", QUESTIONS[:20], keys("c", grader="strict"), rewards={"boxed_exact": 1.0})
    assert counting.graded == 30


def test_another_ground_truth_is_graded_again(ask: Ask, model: Model, counting: Counting) -> None:
    ask("a", QUESTIONS[:10], keys("a"))
    counting.graded = 0
    corrected = ask("b", [replace(QUESTIONS[0], ground_truth="7"), *QUESTIONS[1:10]], keys("b"))
    assert (model.asked, counting.graded) == ([], 1)
    assert corrected.means == {"q0": 0.0, **{f"q{n}": 1.0 for n in range(1, 10)}}


def test_grades_that_are_being_given_again_are_not_believed(ask: Ask, model: Model, counting: Counting) -> None:
    first = ask("a", QUESTIONS[:10], keys("a"))
    KEY.write(first.directory, replace(KEY.read(first.directory), grading=None, grader=""))
    counting.graded = 0
    ask("b", QUESTIONS[:10], keys("b"))
    assert (model.asked, counting.graded) == ([], 10)


def test_what_a_failing_grader_left_open_is_graded_again(ask: Ask, model: Model, counting: Counting) -> None:
    first = ask("a", QUESTIONS[:4], keys("a"))
    unscored = replace(first.records[0], status="unscored", reward=None, rewards={"boxed_numeric": None})
    RECORDS.write(first.directory, [unscored, *first.records[1:]])
    write_json(first.directory / "rewards.json", {"functions": {}})
    counting.graded = 0
    again = ask("b", QUESTIONS[:4], keys("b"))
    assert (model.asked, counting.graded) == ([], 1)
    assert again.accuracy == 1.0


def test_of_how_many_a_reward_failed_counts_those_that_were_kept(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of ten, in the run that asked and in one that takes its answers; there the one is graded again."""

    def fails_once(prompts: object, completions: list[Any], question_id: list[str], **_: object) -> list[float]:
        if "q0" in question_id:
            raise ValueError("no")
        return [0.0] * len(completions)

    module = ModuleType("made_up_rewards")
    module.fails_once = fails_once  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_rewards", module)
    rewards = {"boxed_numeric": 1.0, "made_up_rewards:fails_once": 0.1}
    for run in ("a", "b"):
        stage = ask(run, QUESTIONS[:10], keys(run), rewards=rewards).directory
        (counted,) = (read_json(stage / "rewards.json") or {})["functions"].values()
        assert (counted["unscored"], counted["completions"]) == (1, 10), run


def test_greedy_answers_get_the_seed_that_is_asked_for(ask: Ask, model: Model) -> None:
    ask("a", QUESTIONS[:3], keys("a"), sampling=SamplingParams(seed=1))
    assert {each.seed for each in ask("b", QUESTIONS[:3], keys("b")).records} == {3}
    assert model.asked == []


@pytest.mark.parametrize("cut", range(0, 11, 2))
def test_a_kill_while_copying_is_made_good(
    cut: int, ask: Ask, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever is copied counts, and is neither asked nor copied again."""
    ask("a", QUESTIONS[:10], keys("a"))
    append, left = LineWriter.append, iter(range(cut))

    def torn(self: LineWriter, row: Any) -> None:
        if next(left, None) is None:
            self._file.write(json.dumps(row.to_json())[:40])
            raise KeyboardInterrupt
        append(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(LineWriter, "append", torn)
        with pytest.raises(KeyboardInterrupt):
            ask("b", QUESTIONS[:20], keys("b"))
    assert not (tmp_path / "b" / "before" / "summary.json").exists()
    again = ask("b", QUESTIONS[:20], keys("b"))
    assert sorted(model.asked) == sorted((question.id, 0) for question in QUESTIONS[10:20])
    assert again.accuracy == 1.0
    lines = (again.directory / "records.jsonl").read_text().splitlines()
    assert len({json.loads(line)["question_id"] for line in lines}) == len(lines) == 20


def test_a_copy_that_was_not_finished_is_finished(ask: Ask, model: Model) -> None:
    """A summary says how many records there are, and a directory may be copied in any order."""
    whole = ask("a", QUESTIONS[:10], keys("a"))
    path, records = whole.directory / "records.jsonl", whole.records
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:6]))
    again = ask("a", QUESTIONS[:10], keys("a"))
    assert len(model.asked) == 4
    assert again.records == records


def test_an_early_verdict_takes_no_more_than_it_asks(ask: Ask, model: Model) -> None:
    """Kept answers to later questions make up for no missing one, and none beyond the verdict is counted."""
    ask("a", QUESTIONS[40:100], keys("a"))
    seen: list[tuple[int, int]] = []

    def decided(means: dict[str, float], asked: int) -> bool:
        seen.append((len(means), asked))
        return asked >= 64

    early = ask("b", QUESTIONS, keys("b"), early=EarlyStop([32, 64, len(QUESTIONS)], decided))
    assert seen == [(32, 32), (64, 64)]
    assert {name for name, _ in model.asked} == {question.id for question in QUESTIONS[:40]}
    assert len(early.records) == early.summary.questions == 64
    assert early.summary.reused == {"a": 24}


def test_what_belongs_to_an_answers_core() -> None:
    """Neither the questions nor how often they are asked, and everything else."""
    recipe = Recipe(
        name="x", model={"name": "tiny"}, task=TaskSection(name="arithmetic", train_questions=8, test_questions=8)
    )

    def of(questions: Sequence[Question], device: str = "cpu", model: str = "w", **decoding: Any) -> Keys:
        section = SamplingParams(**{"temperature": 1.0, **decoding})
        made = generation_identity(
            {"weights": model}, questions, section, EngineSection(), device=device, dtype="float32"
        )
        return Keys.of(made, grading_identity(recipe, questions))

    plain = of(QUESTIONS[:5])
    for same in (of(QUESTIONS[:6]), of(QUESTIONS[:5], samples_per_question=4), of(QUESTIONS[:5], batch_size=3)):
        assert (same.answer, same.grader) == (plain.answer, plain.grader)
    others = (
        {"temperature": 0.5},
        {"max_new_tokens": 7},
        {"seed": 1},
        {"top_k": 2},
        {"device": "cuda"},
        {"model": "v"},
    )
    assert len({of(QUESTIONS[:5], **other).answer for other in others} | {plain.answer}) == 7
    assert of(QUESTIONS[:6]).generation != plain.generation != of(QUESTIONS[:5], samples_per_question=4).generation
    strict = grading_identity(recipe.override({"rewards": {"boxed_exact": 1.0}}), QUESTIONS[:5])
    assert Keys.of({"decoding": {}}, strict).grader != plain.grader
