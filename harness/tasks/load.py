"""From the table ``[task]`` to questions as chats: read or made, put into order, told apart, given their prompts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from harness.store.errors import TaskError
from harness.store.names import as_file, as_text, is_there
from harness.store.question import GIVEN, Counts, Message, Question, Questions
from harness.store.run_directory import digest
from harness.store.table import Positive, Table
from harness.tasks.arithmetic import arithmetic_questions
from harness.tasks.forms import PROMPTS, in_form
from harness.tasks.gsm8k import DATASET, SUBSET, to_question
from harness.tasks.hub import dataset_files, is_dataset_id
from harness.tasks.jsonl import Row, columns_of, read_split, row_reader


class TooFewError(TaskError):
    """A source has fewer questions than a recipe asks for under ``key``."""


def _learnable(given: Any) -> Any:
    if not (isinstance(given, bool) or (isinstance(given, int) and given >= 1)):
        raise PydanticCustomError("learnable", "must be true, false or a whole number of questions")
    return given


class TaskSection(Table):
    """``[task]``: ``"arithmetic"``, ``"gsm8k"``, the path of a JSONL, CSV or Parquet file or of a folder, or the id of
    a dataset on the Hub (:mod:`harness.tasks`), of which ``revision`` and ``subset`` are.

    Without a ``system_prompt``, the form of answers that the rewards read is asked for; ``""`` is none. ``learnable``
    has the base policy asked first, as the trainer will ask it, and trains on the questions that it gets right
    sometimes and not always: on all that are found among ``train_questions``, or on so many.
    With no ``train_questions`` a recipe's base model is asked, and no more.
    """

    name: str
    revision: str = "main"
    subset: str | None = None
    train_questions: Annotated[int, Field(ge=0)]
    test_questions: Positive
    system_prompt: str | None = None
    few_shot: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    learnable: Annotated[bool | int, BeforeValidator(_learnable)] = False
    fields: Mapping[str, str] = Field(default_factory=dict)
    operations: list[Literal["add", "subtract", "multiply"]] = Field(default=["add", "subtract", "multiply"])
    largest: Positive = 12


def reads_data(task: TaskSection) -> bool:
    """Whether ``--rl-data`` can stand in for this task's source; arithmetic makes its own questions."""
    return task.name != "arithmetic"


def is_from_hub(task: TaskSection) -> bool:
    """Whether this task's questions are fetched, unless ``--rl-data`` stands in for them; ``name`` is :func:`located
    <harness.recipe.schema.located_task>`."""
    return task.name == "gsm8k" or is_dataset_id(task.name)


def kind_of(task: TaskSection) -> str:
    """``"arithmetic"``, ``"gsm8k"``, or ``"jsonl"`` for files."""
    return task.name if task.name in ("arithmetic", "gsm8k") else "jsonl"


def load_questions(
    task: TaskSection,
    *,
    data: Path | None = None,
    held_out: int = 0,
    form: str | None = None,
    columns: Set[str] | None = frozenset(),
) -> Questions:
    """The questions of a recipe, prompts included. ``data`` is a folder or JSONL file to read instead of the source.
    ``form`` is that in which the recipe's rewards read answers (:mod:`harness.tasks.forms`): worked solutions are
    given in it, and a task without a system prompt of its own asks for it. ``columns`` are those of a row that the
    recipe's rewards take, ``None`` all of them; a question that has not all that others have has ``None`` there.

    No text is asked twice, and none that is asked is trained on. ``held_out`` more questions are taken from the
    training split, behind those that are trained on; they change none of the others.

    Raises:
        TaskError: the source is missing, a row cannot be read (with file, line and field), an answer has no final
            answer, or there are fewer questions than asked for.
    """
    counts = source = None
    there: dict[str, None] = {}
    if task.name == "arithmetic":
        train, test, examples = _arithmetic(task, held_out)
    else:
        source, files = _files(task, data)
        train_pool, test_pool, again, rows = _pools(task, files, columns, there)
        repeated = f"; {again} more have the text of another and are asked once" if again else ""
        test = _take(test_pool, task.test_questions, "test", task, left_out=repeated)
        asked = {question.text for question in test}
        examples = [question for question in train_pool if question.text not in asked]
        same = len(train_pool) - len(examples)
        left_out = f"; {same} more have the text of a test question and are not trained on" if same else ""
        train = _take(examples, task.train_questions, "train", task, left_out=left_out)
        counts = Counts(rows, same, rows - len(train_pool) - len(test_pool))
        if held_out:
            known = {question.text for question in train}
            rest = [question for question in examples[task.train_questions :] if question.text not in known]
            different = _once(rest)
            same = len(rest) - len(different)
            left_out = f"; {same} more have the text of another and are asked once" if same else ""
            key = ("evaluate", "during_questions")
            train += _take(different, held_out, "train", task, key=key, left_out=left_out)
    asks = PROMPTS[form or "box"] if task.system_prompt is None else task.system_prompt
    trained, tested, held = (
        with_prompts(split, system_prompt=asks, few_shot=task.few_shot, examples=examples, seed=task.seed, form=form)
        for split in (train[: task.train_questions], test, train[task.train_questions :])
    )
    kept = [name for name in there if name not in GIVEN and (columns is None or name in columns)]
    trained, tested, held = (
        tuple(replace(each, columns={name: each.columns.get(name) for name in kept}) for each in split)
        for split in (trained, tested, held)
    )
    return Questions(trained, tested, held, counts, source, tuple(there))


def _arithmetic(task: TaskSection, held_out: int) -> tuple[list[Question], list[Question], list[Question]]:
    def make(split: str, count: int, seed: int) -> list[Question]:
        return arithmetic_questions(
            split,  # type: ignore[arg-type]
            count,
            seed=seed,
            operations=tuple(task.operations),
            largest=task.largest,
        )

    # Examples are of another seed: they stay the same however many questions are asked.
    examples = make("train", task.few_shot + 1, task.seed + 1) if task.few_shot else []
    train = make("train", task.train_questions + held_out, task.seed)
    return train, make("test", task.test_questions, task.seed), examples


def _files(task: TaskSection, data: Path | None) -> tuple[str | None, dict[str, list[Path]]]:
    """The files of ``train`` and ``test``, or of ``all`` questions, and of which commit of a dataset they are."""
    if data is None and is_from_hub(task):
        gsm8k = task.name == "gsm8k"
        return dataset_files(DATASET if gsm8k else task.name, task.revision, SUBSET if gsm8k else task.subset)
    path = as_file(task.name) if data is None else data
    if not is_there(path):
        raise TaskError(
            f"{path}: no such file or folder; [task] name is 'arithmetic', 'gsm8k', a JSONL or CSV "
            "file, a folder with train.jsonl and test.jsonl, or the id of a dataset on the Hub"
        )
    return None, {split: [path / f"{split}.jsonl"] for split in ("train", "test")} if path.is_dir() else {"all": [path]}


def _pools(
    task: TaskSection, files: Mapping[str, Sequence[Path]], asked: Set[str] | None, there: dict[str, None]
) -> tuple[list[Question], list[Question], int, int]:
    """All training and all test questions of a source, each in an order fixed by the task's seed, how many test
    questions were left out because their text stood before (a second answer to it says nothing of its own, and the
    gate's intervals are those of questions that do), and how many questions there are in all. The columns of all rows
    are put into ``there``."""
    of_row = to_question if task.name == "gsm8k" else row_reader(as_text(Path(task.name).stem), task.fields)

    def read(row: Row, split: str, index: int) -> Question:
        there.update(dict.fromkeys(row))
        return replace(of_row(row, split, index), columns=columns_of(row, asked))

    pools = {split: read_split(paths, split, read) for split, paths in files.items()}
    if "all" in pools:
        # Test questions from the front, training questions from the back: more of one changes no place of the other.
        both = _shuffled(pools["all"], f"{task.seed}/split")
        different = _once(both)
        test = different[: task.test_questions]
        tested = {question.id for question in test}
        rest = [replace(each, split="train") for each in both[::-1] if each.id not in tested]
        return rest, [replace(each, split="test") for each in test], len(both) - len(different), len(both)
    train, every = (_shuffled(pools[split], f"{task.seed}/{split}") for split in ("train", "test"))
    test = _once(every)
    return train, test, len(every) - len(test), len(train) + len(every)


def _once(questions: Iterable[Question]) -> list[Question]:
    """The first question of each text."""
    first: dict[str, Question] = {}
    for question in questions:
        first.setdefault(question.text, question)
    return list(first.values())


def _shuffled(questions: list[Question], seed: str) -> list[Question]:
    return random.Random(seed).sample(questions, len(questions))


def _take(
    pool: Sequence[Question],
    count: int,
    split: str,
    task: TaskSection,
    key: tuple[str, str] | None = None,
    left_out: str = "",
) -> list[Question]:
    if len(pool) < count:
        table, name = key = key or ("task", f"{split}_questions")
        few = TooFewError(
            f"task {task.name!r} has {len(pool)} {split} question{'s' * (len(pool) != 1)} left, the recipe asks for "
            f"{count}; lower [{table}] {name} or give --rl-limit{left_out}"
        )
        few.key = key
        raise few
    return list(pool[:count])


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
