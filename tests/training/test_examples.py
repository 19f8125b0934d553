"""Examples and pairs: from a file, with what a wrong line is told, and made of graded completions."""

# ruff: noqa: E501 (one row a line)

from __future__ import annotations

import json
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.store.errors import TaskError
from harness.store.records import Record
from harness.training.examples import correct_examples, preference_pairs, read_examples

USER, ASSISTANT = {"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}
SYSTEM = {"role": "system", "content": "Add."}

READ = [
    ("sft", {"messages": [SYSTEM, USER, ASSISTANT]}, {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]}),
    (
        "sft",
        {"messages": [USER, ASSISTANT, USER, ASSISTANT]},
        {"prompt": [USER, ASSISTANT, USER], "completion": [ASSISTANT]},
    ),
    ("sft", {"prompt": [USER], "completion": [ASSISTANT]}, {"prompt": [USER], "completion": [ASSISTANT]}),
    ("sft", {"prompt": "2 + 3?", "completion": "5", "id": 1}, {"prompt": [USER], "completion": [ASSISTANT]}),
    (
        "dpo",
        {"prompt": "2 + 3?", "chosen": "5", "rejected": [{"role": "assistant", "content": "6", "name": "x"}]},
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{"role": "assistant", "content": "6"}]},
    ),
]


@pytest.mark.parametrize(("method", "row", "example"), READ)
def test_rows_become_turns(tmp_path, method, row, example):
    path = tmp_path / "data.jsonl"
    path.write_text(f"\n{json.dumps(row)}\n")
    assert read_examples(path, method) == [example]


TURN = "a turn with a role of system, user, assistant"
WRONG = [
    ("sft", {"prompt": "a", "completion": "b", "chat_template_kwargs": {"think": False}}, "chat_template_kwargs: belongs to [model] of the recipe, so that every stage asks the same prompt"),
    ("dpo", {"prompt": "a", "chosen": "b", "rejected": "c", "tools": [{}]}, "tools: no stage asks with any; leave it out"),
    ("sft", {"text": "x"}, 'no prompt (keys here: text); sft learns from "messages", or "prompt" and "completion"'),
    ("sft", {}, 'no prompt (keys here: none); sft learns from "messages", or "prompt" and "completion"'),
    ("sft", {"prompt": "x"}, 'no completion (keys here: prompt); sft learns from "messages", or "prompt" and "completion"'),
    ("dpo", {"prompt": "x", "chosen": "y"}, 'no rejected (keys here: prompt, chosen); dpo learns from "prompt", "chosen" and "rejected"'),
    ("dpo", {"messages": []}, 'no prompt (keys here: messages); dpo learns from "prompt", "chosen" and "rejected"'),
    ("dpo", {"prompt": "x", "chosen": "y", "rejected": "y"}, "rejected: is the same answer as chosen; there is nothing to prefer"),
    ("sft", {"messages": "x"}, "messages: must be a list of chat turns"),
    ("sft", {"messages": []}, "messages: must be a list of chat turns"),
    ("sft", {"messages": [ASSISTANT]}, "messages: must end with an assistant turn, which is learnt, after at least one other turn"),
    ("sft", {"messages": [USER, ASSISTANT, USER]}, "messages: must end with an assistant turn, which is learnt, after at least one other turn"),
    ("sft", {"messages": [USER, {"role": "bot", "content": "x"}]}, f"messages[1]: must be {TURN}"),
    ("sft", {"messages": [USER, "x"]}, f"messages[1]: must be {TURN}"),
    ("sft", {"messages": [USER, {"role": "assistant", "content": None}]}, "messages[1].content: must be text, and not empty"),
    ("sft", {"messages": [USER, {"role": "assistant", "content": " "}]}, "messages[1].content: must be text, and not empty"),
    ("sft", {"prompt": 3, "completion": "x"}, "prompt: must be a list of chat turns, or text"),
    ("sft", {"prompt": "", "completion": "x"}, "prompt[0].content: must be text, and not empty"),
    ("sft", {"prompt": [USER, ASSISTANT], "completion": "x"}, "prompt: ends with an assistant turn; put the answer that is learnt under its own key"),
    ("sft", {"prompt": "x", "completion": [USER]}, "completion: must be one assistant turn, or text; put the turns before it into prompt"),
    ("sft", {"prompt": "x", "completion": [ASSISTANT, ASSISTANT]}, "completion: must be one assistant turn, or text; put the turns before it into prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "row", "message"), WRONG)
def test_a_wrong_line_is_named(tmp_path, method, row, message):
    path = tmp_path / "data.jsonl"
    good = {"prompt": "a", "completion": "b", "chosen": "b", "rejected": "c"}
    path.write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    with pytest.raises(TaskError) as caught:
        read_examples(path, method)
    assert str(caught.value) == f"{path}:2: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": cannot be read: No such file or directory"),
        ("", ": holds no examples"),
        ("[1]", ":1: a line must be one JSON object, not list"),
        ("{", ":1: not valid JSON: Expecting property name enclosed in double quotes at column 2"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TaskError) as caught:
        read_examples(path, "sft")
    assert str(caught.value) == f"{path}{message}"


def record(question, text, status, finish="stop", sample=0):
    return Record(
        question_id=question,
        sample=sample,
        seed=0,
        prompt=({"role": "user", "content": f"Question {question}?"},),
        completion=text,
        finish_reason=finish,
        prompt_tokens=3,
        completion_tokens=len(text),
        ground_truth="1",
        extracted=None,
        status=status,
        reward=None,
        rewards={},
        grades={},
    )


def answers(*rows):
    return [record("q", *row, sample=number) for number, row in enumerate(rows)]


def said(rows, key="completion"):
    return [row[key][0]["content"] for row in rows]


EXAMPLES = [  # answers to one question, what SFT may learn, in any order
    ([("a", "correct")], {"a"}),
    ([("a", "correct"), ("a", "correct")], {"a"}),
    ([("a", "correct"), ("b", "correct")], {"a", "b"}),
    ([("a", "wrong"), ("b", "no_answer"), ("c", "unscored")], set()),
    ([("a", "correct", "length")], set()),
    ([("a", "correct", "length"), ("a", "correct")], {"a"}),
    ([], set()),
]


@pytest.mark.parametrize(("rows", "learnt"), EXAMPLES)
def test_correct_and_ended_answers_are_learnt_once(rows, learnt):
    found = said(correct_examples(answers(*rows), 4, seed=0))
    assert len(found) == len(learnt)
    assert set(found) == learnt


PAIRS = [  # answers to one question, the pairs that DPO may learn
    ([("a", "correct"), ("x", "wrong")], {("a", "x", "stop")}),
    ([("a", "correct"), ("x", "no_answer", "length")], {("a", "x", "length")}),
    ([("a", "correct"), ("x", "wrong"), ("x", "wrong")], {("a", "x", "stop")}),
    ([("a", "correct"), ("x", "unscored")], set()),
    ([("a", "correct", "length"), ("x", "wrong")], set()),
    ([("a", "correct"), ("b", "correct")], set()),
    ([("x", "wrong"), ("y", "wrong")], set()),
    (
        [("a", "correct"), ("b", "correct"), ("x", "wrong"), ("y", "wrong")],
        {(a, x, "stop") for a in "ab" for x in "xy"},
    ),
]


@pytest.mark.parametrize(("rows", "pairs"), PAIRS)
def test_pairs_are_of_a_correct_and_a_wrong_answer(rows, pairs):
    made = preference_pairs(answers(*rows), 4, seed=0)
    found = [
        (row["chosen"][0]["content"], row["rejected"][0]["content"], row["rejected_finish_reason"]) for row in made
    ]
    assert len(found) == len(pairs)
    assert set(found) == pairs


def test_which_are_taken():
    """Every answer is paired before one is paired twice; the seed decides, and other questions do not."""
    rows = [(f"right {n}", "correct") for n in range(3)] + [(f"wrong {n}", "wrong") for n in range(3)]
    for seed in range(20):
        made = preference_pairs(answers(*rows), 3, seed)
        assert len(set(said(made, "chosen"))) == len(set(said(made, "rejected"))) == 3
    rows = [record("q1", f"answer {n}", "correct") for n in range(20)]
    alone = correct_examples(rows, 2, seed=0)
    assert correct_examples([*rows, record("q2", "x", "correct")], 2, seed=0)[:2] == alone
    assert any(correct_examples(rows, 2, seed) != alone for seed in range(1, 5))


RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from(["q1", "q2", "q3"]),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["correct", "wrong", "no_answer", "unscored"]),
        st.sampled_from(["stop", "length"]),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda each: each.question_id))


@given(RECORDS, st.integers(1, 5), st.integers(0, 10))
def test_what_is_made_of_any_completions(records, most, seed):
    status = {}
    for each in records:
        status.setdefault((each.question_id, each.completion), set()).add((each.status, each.finish_reason))
    examples, pairs = correct_examples(records, most, seed), preference_pairs(records, most, seed)
    for rows in (examples, pairs):
        counts = [len(list(group)) for _, group in groupby(rows, key=lambda row: row["question_id"])]
        assert all(count <= most for count in counts)
        assert len({str(row) for row in rows}) == len(rows), "one of them twice"
    for row in examples:
        assert ("correct", "stop") in status[row["question_id"], row["completion"][0]["content"]]
    for row in pairs:
        assert ("correct", "stop") in status[row["question_id"], row["chosen"][0]["content"]]
        found = status[row["question_id"], row["rejected"][0]["content"]]
        assert {word for word, _ in found} & {"wrong", "no_answer"}
    assert examples == correct_examples(records, most, seed)
    assert pairs == preference_pairs(records, most, seed)
