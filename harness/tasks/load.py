"""From the table ``[task]`` to questions as chats: read or made, put into order, told apart, given their prompts."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from harness.store.errors import TaskError, nearest
from harness.store.names import as_file, as_text
from harness.store.question import GIVEN, Counts, Message, Question, Questions
from harness.store.run_directory import digest
from harness.store.table import Positive, Table
from harness.tasks.arithmetic import arithmetic_questions
from harness.tasks.files import Row
from harness.tasks.forms import PROMPTS, in_form
from harness.tasks.gsm8k import DATASET, SUBSET, to_question
from harness.tasks.hub import dataset_files, is_dataset_id
from harness.tasks.rows import ReadRow, check_where, columns_of, is_meant, row_reader
from harness.tasks.tables import SPLITS, not_read, rows_of, tables
from harness.tasks.tables import Table as Rows


def _learnable(given: Any) -> Any:
    if not (isinstance(given, bool) or (isinstance(given, int) and given >= 1)):
        raise PydanticCustomError("learnable", "must be true, false or a whole number of questions")
    return given


def _where(given: Any) -> Any:
    plain = (str, int, float)
    for value in given.values() if isinstance(given, Mapping) else ():
        if not all(isinstance(each, plain) for each in (value if isinstance(value, list | tuple) else [value])):
            raise PydanticCustomError("where", "must have a text, a number, true or false, or a list of them, a column")
    return given


def _split(given: Any) -> Any:
    named = given.values() if isinstance(given, Mapping) else [given]
    if given is not None and not all(isinstance(each, str) and each for each in named):
        raise PydanticCustomError("split", 'must be a name, or names as in { train = "train", test = "validation" }')
    if isinstance(given, Mapping) and set(given) != set(SPLITS):
        raise PydanticCustomError("split", 'must name both, as in { train = "train", test = "validation" }')
    return given


class TaskSection(Table):
    """``[task]``: ``"arithmetic"``, ``"gsm8k"``, a file, a folder or a dataset on the Hub (:mod:`harness.tasks`), of
    which ``revision`` and ``subset`` are. ``split`` says which parts of it are meant, ``fields`` which column is what,
    and ``where`` which rows are meant.

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
    where: Annotated[Mapping[str, Any], BeforeValidator(_where)] = Field(default_factory=dict)
    split: Annotated[str | Mapping[str, str] | None, BeforeValidator(_split)] = None
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
    """``"arithmetic"``, ``"gsm8k"``, or ``"jsonl"`` for any other table: what has been trained goes by this word."""
    return task.name if task.name in ("arithmetic", "gsm8k") else "jsonl"


def load_questions(
    task: TaskSection,
    *,
    data: Path | None = None,
    held_out: int = 0,
    form: str | None = None,
    columns: Set[str] | None = frozenset(),
) -> Questions:
    """The questions of a recipe, prompts included. ``data`` is a file or folder to read instead of the source.
    ``form`` is that in which the recipe's rewards read answers (:mod:`harness.tasks.forms`): worked solutions are
    given in it, and a task without a system prompt of its own asks for it. ``columns`` are those of a row that the
    recipe's rewards take, ``None`` all of them; a question that has not all that others have has ``None`` there.

    No text is asked twice, and none that is asked is trained on. ``held_out`` more questions are taken from the
    training split, behind those that are trained on; they change none of the others. Of a table no more than the
    questions of the recipe are held, and some 150 bytes for each other row: it is read twice.

    Raises:
        TaskError: the source is missing, a row cannot be read (with file, line and field), an answer has no final
            answer, or there are fewer questions than asked for.
    """
    read = _of_arithmetic if task.name == "arithmetic" else partial(_of_tables, data=data, asked=columns)
    train, test, examples, counts, source, there = read(task, held_out)
    asks = PROMPTS[form or "box"] if task.system_prompt is None else task.system_prompt
    trained, tested, held = (
        with_prompts(split, system_prompt=asks, few_shot=task.few_shot, examples=examples, seed=task.seed, form=form)
        for split in (train[: task.train_questions], test, train[task.train_questions :])
    )
    return Questions(trained, tested, held, counts, source, there)


_Read = tuple[list[Question], list[Question], list[Question], Counts | None, str | None, tuple[str, ...]]
"""Training questions with those held out, test questions, worked examples; what was left out, the source, columns."""


def _of_arithmetic(task: TaskSection, held_out: int) -> _Read:
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
    return train, make("test", task.test_questions, task.seed), examples, None, None, ()


def _of_tables(task: TaskSection, held_out: int, *, data: Path | None, asked: Set[str] | None) -> _Read:
    """Each split in an order fixed by the task's seed. A test question is left out whose text stood before: a second
    answer to it says nothing of its own, and the gate's intervals are those of questions that do."""
    source, found = _looked_at(task, data)
    if "all" in found:
        # Test questions from the front, training questions from the back: more of one changes no place of the other.
        of_train = of_test = found["all"]
        both = of_train.shuffled(f"{task.seed}/split")
        test = of_test.once(both, task.test_questions)
        chosen = set(test)
        pool, rows, again = [row for row in reversed(both) if row not in chosen], len(both), 0
    else:
        of_train, of_test = found["train"], found["test"]
        pool, both = of_train.shuffled(f"{task.seed}/train"), of_test.shuffled(f"{task.seed}/test")
        test = of_test.once(both, task.test_questions)
        rows, again = len(pool) + len(both), of_test.repeats
    repeated = f"; {of_test.repeats} more have the text of another and are asked once" if of_test.repeats else ""
    test = _take(test, task.test_questions, "test", task, left_out=repeated)
    tested = {of_test.texts[row] for row in test}
    apart = [row for row in pool if of_train.texts[row] not in tested]
    same = len(pool) - len(apart)
    left_out = f"; {same} more have the text of a test question and are not trained on" if same else ""
    train = _take(apart, task.train_questions, "train", task, left_out=left_out)
    counts = Counts(rows, same, again)
    if held_out:
        known = {of_train.texts[row] for row in train}
        rest = [row for row in apart[task.train_questions :] if of_train.texts[row] not in known]
        different = of_train.once(rest, held_out)
        same = len(rest) - len(different)
        left_out = f"; {same} more have the text of another and are asked once" if same else ""
        key = ("evaluate", "during_questions")
        train += _take(different, held_out, "train", task, key=key, left_out=left_out)
    there = tuple({**of_train.columns, **of_test.columns})
    for field, name in task.fields.items():  # an optional one that is misspelt would be missed by nobody
        if data is None and name and not {"{", "}"} & set(name) and name not in there:
            raise TaskError(f"[task] fields.{field}: no row has the column {name!r}; {nearest(name, list(there))}")
    kept = [name for name in there if name not in GIVEN and (asked is None or name in asked)]
    worked = _Worked(task.few_shot + 1, task.seed, tested) if task.few_shot else None
    one = of_train is of_test
    found_train = of_train.questions([*train, *(test if one else ())], asked, kept, worked)
    found_test = found_train if one else of_test.questions(test, asked, kept)
    return (
        [replace(found_train[row], split="train") for row in train],
        [replace(found_test[row], split="test") for row in test],
        worked.questions if worked else [],
        counts,
        source,
        there,
    )


def _looked_at(task: TaskSection, data: Path | None) -> tuple[str | None, dict[str, _Table]]:
    """Of which commit of a dataset the tables are, and those of ``train`` and ``test``, or of ``all`` questions."""
    source: str | None = None
    splits: Mapping[str, Rows]
    if data is None and is_from_hub(task):
        named = (DATASET, task.subset or SUBSET) if task.name == "gsm8k" else (task.name, task.subset)
        source, files = dataset_files(named[0], task.revision, named[1], task.split)
        splits = {split: rows_of(paths) for split, paths in files.items()}
    else:
        if data is None:
            for key in ("revision", "subset"):
                if getattr(task, key) != TaskSection.model_fields[key].default:
                    raise not_read(
                        key, f"is of a dataset on the Hub, and {as_file(task.name)} lies here; drop this key"
                    )
        one = data is not None and data.is_file()  # that stands in for a dataset with splits
        splits = tables(data or as_file(task.name), None if one else task.split)
    read = to_question if task.name == "gsm8k" else row_reader(as_text(Path(task.name).stem), task.fields)
    return source, {split: _Table(rows, split, read, task.where) for split, rows in splits.items()}


def count_texts(task: TaskSection) -> dict[str, int]:
    """How many questions of different texts a table has, by split, ``"all"`` alone where one serves both; raises as
    :func:`load_questions` does."""
    return {split: len(table.texts) - table.repeats for split, table in _looked_at(task, None)[1].items()}


class _Table:
    """What is known of a table once all of its rows were looked at: those that are meant, by their place among all
    rows, and a hash of each one's text. No text is held.

    Raises:
        TaskError: a row cannot be read, an id stands there twice, or ``where`` leaves no row.
    """

    def __init__(self, rows: Rows, split: str, read: ReadRow, where: Mapping[str, Any]) -> None:
        self._rows, self._split, self._read, self._where = rows, split, read, where
        self.columns: dict[str, None] = {}
        self.texts, self._places, ids = array("q"), array("q"), array("q")
        named, total = False, 0
        for total, (place, row) in enumerate(rows(), 1):
            if not row.keys() <= self.columns.keys():
                self.columns |= dict.fromkeys(row)
            if is_meant(row, where):
                try:
                    question = read(row, split, total - 1)
                except TaskError as error:
                    raise TaskError(f"{place}: {error}") from None
                named = named or not question.id.endswith(f"/{total - 1}")
                self._places.append(total - 1)
                self.texts.append(hash(question.text))
                ids.append(hash(question.id))
        check_where(where, self.columns, total, len(ids))
        if named and _repeats(ids):
            self._say_twice()
        self.repeats = _repeats(self.texts)

    def shuffled(self, seed: str) -> list[int]:
        """The numbers of all rows that are meant, in an order of their own."""
        return random.Random(seed).sample(range(len(self.texts)), len(self.texts))

    def once(self, rows: Iterable[int], most: int) -> list[int]:
        """The first row of each text, at most so many."""
        first: dict[int, int] = {}
        for row in rows:
            if len(first) == most:
                break
            first.setdefault(self.texts[row], row)
        return list(first.values())

    def questions(
        self, wanted: Iterable[int], asked: Set[str] | None, kept: Sequence[str], worked: _Worked | None = None
    ) -> dict[int, Question]:
        """The questions of some rows by their numbers, with the columns that are ``kept``."""
        places = {self._places[row]: row for row in wanted}
        last = max(places, default=-1)
        found: dict[int, Question] = {}
        for index, (place, row) in enumerate(self._rows()):
            if index > last and worked is None:
                break
            if index in places:
                try:
                    columns = dict.fromkeys(kept) | columns_of(row, asked)
                except TaskError as error:
                    raise TaskError(f"{place}: {error}") from None
                question = self._again(place, row, index)
                if hash(question.text) != self.texts[places[index]]:
                    _say_changed(place)
                found[places[index]] = replace(question, columns=columns)
            if worked is not None and is_meant(row, self._where):
                worked.add(self._again(place, row, index))
        if len(found) < len(places):
            _say_changed("[task] name")
        return found

    def _again(self, place: str, row: Row, index: int) -> Question:
        try:
            return self._read(row, self._split, index)
        except TaskError:  # it could be read before
            _say_changed(place)

    def _say_twice(self) -> NoReturn:
        seen: dict[str, str] = {}
        for index, (place, row) in enumerate(self._rows()):
            if is_meant(row, self._where):
                name = self._again(place, row, index).id
                if name in seen:
                    raise TaskError(
                        f"{place}: the id {name!r} is that of {_within(seen[name], place)}; ids are unique: under "
                        '[task], fields = { id = "..." } names another field, and fields = { id = "" } numbers the rows'
                    )
                seen[name] = place
        _say_changed("[task] name")


def _say_changed(place: str) -> NoReturn:
    raise TaskError(f"{place}: the questions changed while they were read, which is done twice; run again")


def _within(place: str, other: str) -> str:
    """A place for who knows the other: the line or row alone where both are of one file."""
    for mark, word in ((":", "line"), (", row ", "row")):
        name, _, number = place.rpartition(mark)
        if name and other.startswith(f"{name}{mark}"):
            return f"{word} {number}"
    return place


def _repeats(values: array[int]) -> int:
    """How many of them stood there before; sorted, since a set of a million takes a hundred bytes for each."""
    return sum(one == next_one for one, next_one in pairwise(sorted(values)))


class _Worked:
    """Of questions with a worked solution, the ``count`` that the seed draws, whatever others there are; none of them
    has one of the ``tested`` texts, by their hashes."""

    def __init__(self, count: int, seed: int, tested: Set[int]) -> None:
        self._count, self._seed, self._tested = count, seed, tested
        self._drawn: dict[str, Question] = {}

    def add(self, question: Question) -> None:
        if not question.solution or hash(question.text) in self._tested:
            return
        self._drawn[_drawn(self._seed, question)] = question
        if len(self._drawn) > self._count:
            del self._drawn[max(self._drawn)]

    @property
    def questions(self) -> list[Question]:
        return list(self._drawn.values())


def _drawn(seed: int, question: Question) -> str:
    """By a hash of each, so that other examples do not move these."""
    return digest(["few-shot", seed, question.text])


def _take(
    pool: Sequence[int],
    count: int,
    split: str,
    task: TaskSection,
    key: tuple[str, str] | None = None,
    left_out: str = "",
) -> list[int]:
    if len(pool) < count:
        table, name = key = key or ("task", f"{split}_questions")
        few = TaskError(
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
    drawn = sorted(worked, key=partial(_drawn, seed))
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
