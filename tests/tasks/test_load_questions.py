"""Questions from files, from the Hub and from arithmetic: what is read, what is refused, and in which order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.recipe import TaskSection
from harness.store.errors import TaskError
from harness.store.question import Counts
from harness.tasks import Question, load_questions

Rows = list[dict[str, Any]]


def rows(count: int, *, start: int = 0) -> Rows:
    """GSM8K-shaped rows whose numbers tell them apart."""
    return [
        {"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"}
        for n in range(start, start + count)
    ]


def write(path: Path, lines: Iterable[Any]) -> Path:
    """A JSONL file; a text stands in it as it is."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def task(name: object, train: int = 3, test: int = 2, **more: Any) -> TaskSection:
    return TaskSection(name=str(name), train_questions=train, test_questions=test, **more)


def texts(questions: Iterable[Question]) -> list[str]:
    return [question.text for question in questions]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 training rows and 10 test rows."""
    write(tmp_path / "data" / "train.jsonl", rows(20))
    write(tmp_path / "data" / "test.jsonl", rows(10, start=100))
    return tmp_path / "data"


def test_a_folder_gives_its_two_files(folder: Path) -> None:
    loaded = load_questions(task(folder, train=20, test=10))
    assert sorted(texts(loaded.train)) == sorted(row["question"] for row in rows(20))
    assert sorted(texts(loaded.test)) == sorted(row["question"] for row in rows(10, start=100))
    for split in (loaded.train, loaded.test):
        for question in split:
            number = int(question.text.split()[2])
            assert question.ground_truth == str(number + 1)
            assert question.split == ("test" if number >= 100 else "train")
            assert question.id == f"data/{question.split}/{number % 100}"
            assert [turn["role"] for turn in question.prompt] == ["system", "user"]
            assert question.prompt[-1]["content"] == question.text


def test_the_system_prompt_can_be_left_out(folder: Path) -> None:
    said = load_questions(task(folder, system_prompt="Be brief.")).test[0].prompt
    unsaid = load_questions(task(folder, system_prompt="")).test[0].prompt
    assert said == ({"role": "system", "content": "Be brief."}, *unsaid)
    assert [turn["role"] for turn in unsaid] == ["user"]


def test_one_file_serves_both_splits(tmp_path: Path) -> None:
    path = write(tmp_path / "all.jsonl", rows(30))
    loaded = load_questions(task(path, train=20, test=10))
    assert sorted(texts((*loaded.train, *loaded.test))) == sorted(row["question"] for row in rows(30))
    assert {question.split for question in loaded.train} == {"train"}
    assert {question.split for question in loaded.test} == {"test"}
    assert len({question.id for question in (*loaded.train, *loaded.test)}) == 30
    with pytest.raises(TaskError, match="has 20 train questions left, the recipe asks for 21"):
        load_questions(task(path, train=21, test=10))


def test_a_question_asked_twice_is_not_trained_on_and_tested(tmp_path: Path) -> None:
    path = write(tmp_path / "all.jsonl", rows(10) * 2)
    loaded = load_questions(task(path, train=4, test=4))
    assert not set(texts(loaded.train)) & set(texts(loaded.test))
    with pytest.raises(TaskError, match=r"; \d more have the text of a test question and are not trained on$"):
        load_questions(task(path, train=16, test=4))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_text_is_asked_once(kind: str, tmp_path: Path) -> None:
    """A second answer to the same question would count as one more that was gained or lost."""
    train = write(tmp_path / "data" / "train.jsonl", [*rows(20), *rows(20)])
    test = write(tmp_path / "data" / "test.jsonl", [*rows(10, start=100), *rows(10, start=100)])
    source = task(test.parent if kind == "folder" else train, test=10)
    left = 20 - len(set(texts(load_questions(source).train))) - (10 if kind == "file" else 0)
    loaded = load_questions(source, held_out=left)
    assert len(set(texts(loaded.test))) == 10
    assert len(set(texts(loaded.held_out))) == left
    assert not set(texts(loaded.held_out)) & set(texts(loaded.train))
    with pytest.raises(TaskError, match=r"lower \[evaluate\] during_questions .*; \d+ more have the text of another"):
        load_questions(source, held_out=left + 1)
    with pytest.raises(TaskError, match=r"has \d+ test questions left.*; \d+ more have the text of another"):
        load_questions(task(test.parent if kind == "folder" else train, test=21))


@pytest.mark.parametrize("kind", ["folder", "file", "arithmetic"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_asking_for_more_keeps_the_first_ones(kind: str, split: str, folder: Path) -> None:
    name = {"folder": folder, "file": write(folder / "all.jsonl", rows(30)), "arithmetic": "arithmetic"}[kind]
    fewer, more = (getattr(load_questions(task(name, train=a, test=b)), split) for a, b in ((4, 3), (16, 8)))
    assert len(fewer) < len(more)
    assert more[: len(fewer)] == fewer


@pytest.mark.parametrize("kind", ["folder", "file", "arithmetic"])
def test_the_seed_sets_the_order(kind: str, folder: Path) -> None:
    name = {"folder": folder, "file": write(folder / "all.jsonl", rows(30)), "arithmetic": "arithmetic"}[kind]
    once, again, other = (load_questions(task(name, train=20, test=10, seed=seed)) for seed in (0, 0, 1))
    assert (once == again, once.train == other.train, once.test == other.test) == (True, False, False)


def test_named_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path / "named.jsonl",
        [{"problem": f"p{n}", "final": n, "worked": f"w{n}", "key": f"k{n}"} for n in range(9)],
    )
    names = {"question": "problem", "answer": "final", "solution": "worked", "id": "key"}
    question = next(q for q in load_questions(task(path, test=5, fields=names)).test if q.text != "p0")
    n = question.text[1:]
    assert (question.id, question.ground_truth, question.solution) == (f"named/all/k{n}", n, f"w{n}")


def test_ids_that_are_null_are_the_places_of_their_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", ["", *({**row, "id": None} for row in rows(4)), "  "])
    loaded = load_questions(task(path, train=2, test=2))
    assert {q.id: q.text for q in (*loaded.train, *loaded.test)} == {
        f"q/all/{n}": f"What is {n} + 1?" for n in range(4)
    }


YOURS = 'name yours in the recipe: [task] fields = {{ {} = "..." }}'
UNIQUE = (
    "ids are unique: under [task], "
    'fields = { id = "..." } names another field, and fields = { id = "" } numbers the rows'
)
BOXLESS = "there is no field 'answer', and the field 'solution' "
BOXLESS += 'has no \\boxed{} with one; name the field that holds the answer: [task] fields = { answer = "..." }'
BAD_LINES = [
    ({"question": "?"}, "no field 'answer' (fields here: question); " + YOURS.format("answer")),
    ({"Q": "?", "answer": "1"}, "no field 'question' (fields here: Q, answer); " + YOURS.format("question")),
    ({}, "no field 'question' and none 'answer' (fields here: none); " + YOURS.format('question = "...", answer')),
    ({"question": "?", "answer": None}, "the field 'answer' is empty"),
    ({"question": " \n", "answer": "1"}, "the field 'question' is empty"),
    ({"question": ["?"], "answer": "1"}, "the field 'question' must be text or a finite number, not a list"),
    ({"question": "?", "answer": "so\n####"}, 'the answer has no final answer behind "####": it ends in \'so\\n####\''),
    ({"question": "?", "answer": "1", "id": 3}, "the id 'questions/train/3' is that of line 4; " + UNIQUE),
    ({"question": "?", "solution": "It is 4."}, BOXLESS),
    ({"question": "?", "solution": r"\boxed{} or \boxed{4"}, BOXLESS),
    ({"question": "?", "solution": None}, "the field 'solution' is empty"),
    ('{"question": "?", "ans', "not valid JSON: Unterminated string starting at at column 19"),
    ("[1, 2]", "a line must be one JSON object, not list"),
    ("3", "a line must be one JSON object, not int"),
    ({"question": "?", "answer": True}, "the field 'answer' must be text or a finite number, not true"),
    ('{"question": "?", "answer": NaN}', "the field 'answer' must be text or a finite number, not NaN"),
    ('{"question": "?", "answer": 1e999}', "the field 'answer' must be text or a finite number, not Infinity"),
    (f'{{"question": "?", "answer": {"9" * 6000}}}', "a number has too many digits; write it in quotes"),
    ('{"question": ' + "[" * 100_000, "lists or objects lie too deep in each other"),
    (r'{"question": "\ud83d", "answer": "1"}', "holds half of a character (a lone surrogate), which no file can keep"),
]  # fmt: skip


BOXES = [  # a solution without an answer beside it, and the answer
    (r"At first \boxed{2}, no: $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"So it is \boxed{ 7 }.", "7"),
    (r"We get $\fbox{12}$.", "12"),
    (r"We get $\boxed 12$, which is even.", "12"),
    (r"\boxed{A} is shown; the rest $\boxed{B", "A"),
    ("\\boxed{\\text{Élan}}", "\\text{Élan}"),
]


@pytest.mark.parametrize(("solution", "answer"), BOXES)
def test_without_an_answer_the_last_box_of_the_solution_is_it(tmp_path: Path, solution: str, answer: str) -> None:
    path = write(tmp_path / "math.jsonl", [{"problem": f"p{n}", "worked": solution, "level": 5} for n in range(4)])
    names = {"question": "problem", "solution": "worked"}
    for question in load_questions(task(path, train=2, fields=names)).test:
        assert (question.ground_truth, question.solution) == (answer, solution)
    with pytest.raises(TaskError, match="no field 'final'"):  # a recipe that names a field means it
        load_questions(task(path, train=2, fields={**names, "answer": "final"}))


def test_an_answer_that_is_there_is_the_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", [{**row, "solution": r"\boxed{999}"} for row in rows(4)])
    assert {q.ground_truth for q in load_questions(task(path, train=2)).test} <= {"1", "2", "3", "4"}


def test_ids_that_repeat_can_be_numbered(tmp_path: Path) -> None:
    """As GSM-Symbolic has them: one id for all instances of a template."""
    path = write(tmp_path / "q.jsonl", [{**row, "id": n % 2, "instance": n} for n, row in enumerate(rows(6))])
    with pytest.raises(TaskError, match=r'q\.jsonl:3: the id .* is that of line 1; .*fields = \{ id = "" \} numbers'):
        load_questions(task(path))
    for names, first in [({"id": ""}, "q/all/0"), ({"id": "instance"}, "q/all/0")]:
        loaded = load_questions(task(path, fields=names))
        found = {q.id: q.text for q in (*loaded.train, *loaded.test)}
        assert len(found) == 5
        assert found.get(first, "What is 0 + 1?") == "What is 0 + 1?"


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_7_is_named(tmp_path: Path, line: Any, message: str) -> None:
    folder = tmp_path / "questions"
    write(folder / "test.jsonl", rows(5, start=100))
    path = write(folder / "train.jsonl", [*rows(6), line, *rows(3, start=6)])
    with pytest.raises(TaskError) as caught:
        load_questions(task(folder))
    assert str(caught.value) == f"{path}:7: {message}"


def test_a_gsm8k_row_without_a_final_answer_is_named(folder: Path) -> None:
    path = write(folder / "test.jsonl", [*rows(6, start=100), {"question": "?", "answer": "it is 4"}])
    with pytest.raises(TaskError) as caught:
        load_questions(task("gsm8k"), data=folder)
    assert str(caught.value) == (
        f"{path}:7: gsm8k/test/6: the answer has no final answer behind \"####\": it ends in 'it is 4'"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": holds no questions"),
        (b'{"question": "1", "answer": "1"}\n{"question": "gr\xfcn"}\n', ":2: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_files_without_questions(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(TaskError) as caught:
        load_questions(task(path))
    assert str(caught.value) == f"{path}{message}"


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", rows(5))
    plain = load_questions(task(path))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_questions(task(path)) == plain


@pytest.mark.parametrize(("train", "test", "left"), [(21, 2, "20 train"), (3, 11, "10 test")])
def test_too_few_questions(folder: Path, train: int, test: int, left: str) -> None:
    split = left.split()[1]
    message = (
        f"task '{folder}' has {left} questions left, the recipe asks for {max(train, test)}; lower \\[task\\] {split}_q"
    )
    with pytest.raises(TaskError, match=message):
        load_questions(task(folder, train=train, test=test))


def test_an_unknown_task(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match=r"^gsm9k: no such file or folder; \[task\] name is 'arithmetic', 'gsm8k', a JSONL"
    ):
        load_questions(task("gsm9k"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=r"empty: has no train\.jsonl, nor \.json, .*; it has no JSONL, JSON, CSV or"):
        load_questions(task(tmp_path / "empty"))


class TestFewShot:
    """``few_shot = n``: worked examples as chat turns before the question."""

    @pytest.fixture(params=["gsm8k", "arithmetic"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_turns(self, name: str, folder: Path) -> None:
        loaded = load_questions(task(name, train=20, test=10, few_shot=3), data=folder)
        plain = load_questions(task(name, train=20, test=10), data=folder)
        asked = set(texts(loaded.test))
        for question, bare in zip((*loaded.train, *loaded.test), (*plain.train, *plain.test), strict=True):
            system, *examples, last = question.prompt
            assert (system, last) == bare.prompt
            assert [turn["role"] for turn in examples] == ["user", "assistant"] * 3
            shown = [turn["content"] for turn in examples[::2]]
            assert len(set(shown)) == 3
            assert question.text not in shown
            assert not asked & set(shown)
            assert all("\\boxed{" in turn["content"] for turn in examples[1::2])

    def test_examples_are_the_seeds(self, name: str, folder: Path) -> None:
        def shown(seed: int, **counts: int) -> list[Any]:
            loaded = load_questions(task(name, few_shot=2, seed=seed, **counts), data=folder)
            return [question.prompt[1:-1] for question in loaded.test]

        assert shown(0) == shown(0)
        assert shown(0) != shown(1)
        assert shown(0, test=5)[:2] == shown(0, test=2)
        assert len({json.dumps(turns) for turns in shown(0, test=5)}) == 1

    def test_the_same_examples_stand_before_more_questions(self, tmp_path: Path) -> None:
        path = write(tmp_path / "all.jsonl", rows(40))
        fewer, more = (load_questions(task("gsm8k", test=n, few_shot=2), data=path) for n in (2, 6))
        assert more.test[:2] == fewer.test

    def test_a_trained_question_among_the_examples_makes_room_for_the_next(self, tmp_path: Path) -> None:
        write(tmp_path / "train.jsonl", [*rows(3), *rows(3)])
        write(tmp_path / "test.jsonl", rows(2, start=100))
        for question in load_questions(task("gsm8k", train=6, few_shot=2), data=tmp_path).train:
            shown = [turn["content"] for turn in question.prompt[1:-1:2]]
            assert len(set(shown)) == 2
            assert question.text not in shown

    def test_too_few_examples(self, folder: Path) -> None:
        with pytest.raises(
            TaskError, match="few_shot = 20 needs 21 training questions with a worked solution, there are 20"
        ):
            load_questions(task("gsm8k", few_shot=20), data=folder)
        with pytest.raises(TaskError, match=r"there are 0; .*\[task\] fields = \{ solution = "):
            load_questions(task(folder, few_shot=1))


def test_arithmetic_examples_do_not_change_with_the_number_of_questions():
    def prompts(count: int) -> set[str]:
        task = TaskSection(name="arithmetic", train_questions=count, test_questions=count, few_shot=2)
        return {str(question.prompt[:-1]) for question in load_questions(task).test}

    assert len(prompts(3)) == 1
    assert prompts(3) == prompts(50)


def test_a_csv_file_is_read_by_its_heading(tmp_path: Path) -> None:
    lines = [f'"What is {n} + 1,\nin digits?",{n + 1},' for n in range(30)]
    path = tmp_path / "all.csv"
    path.write_text("\ufeffproblem,answer,note\n\n" + "\n".join(lines) + "\n")
    loaded = load_questions(task(path, train=20, test=10, fields={"question": "problem"}))
    assert {question.text: question.ground_truth for question in (*loaded.train, *loaded.test)} == {
        f"What is {n} + 1,\nin digits?": str(n + 1) for n in range(30)
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frage,answer\nx,1\n", r"all.csv:2: no field 'question' \(fields here: frage, answer\); name yours in the"),
        ("question,answer\n\nx,1,2\n", r"all.csv:3: more fields than the heading has \(question, answer\)"),
        ("question,answer\nx\n", r"all.csv:2: the field 'answer' is empty"),
        ('question,answer\n"x,1\n', r"all.csv:\d: not valid CSV: "),
        ("question,answer\n", r"all.csv: holds no questions"),
    ],
)
def test_a_csv_file_that_cannot_be_read(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(text)
    with pytest.raises(TaskError, match=says):
        load_questions(task(tmp_path / "all.csv", train=1, test=1))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """A text that only the training split has twice is trained on twice."""
    train = write(tmp_path / "data/train.jsonl", [*rows(20), *rows(5), *rows(3, start=100)])
    write(tmp_path / "data/test.jsonl", [*rows(10, start=100), *rows(4, start=100)])
    assert load_questions(task(train.parent, train=5, test=10)).counts == Counts(rows=42, same=3, again=4)
    one = load_questions(task(write(tmp_path / "one.jsonl", [*rows(30), *rows(30)]), train=5, test=10)).counts
    assert one == Counts(rows=60, same=10, again=0)
