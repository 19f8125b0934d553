"""Chats and preferences from a file: what is read, and what a wrong line is told."""

# ruff: noqa: E501 (one row a line)

from __future__ import annotations

import json

import pytest

from harness.store.errors import TaskError
from harness.training.given import read_examples

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
