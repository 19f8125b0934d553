"""Examples from a JSON Lines file: chats for SFT, preferences for DPO.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    {"prompt": [{"role": "user", "content": "..."}], "completion": [{"role": "assistant", "content": "..."}]}
    {"prompt": "...", "chosen": "...", "rejected": "..."}

Each value is chat turns or text: the text of a prompt is one user turn, that of an answer one assistant turn. The last
turn of ``messages`` is learnt, and the others are its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.store.errors import TaskError
from harness.tasks.jsonl import read_rows

Turns = list[dict[str, str]]

_ROLES = ("system", "user", "assistant")
_ELSEWHERE = {  # what TRL would render this row's prompt with
    "chat_template_kwargs": "belongs to [model] of the recipe, so that every stage asks the same prompt",
    "tools": "no stage asks with any; leave it out",
}
_NEEDED = {
    "sft": '"messages", or "prompt" and "completion"',
    "dpo": '"prompt", "chosen" and "rejected"',
}


def read_examples(path: Path, method: str) -> list[dict[str, Any]]:
    """The rows of a file for ``"sft"`` (``prompt``, ``completion``) or ``"dpo"`` (``prompt``, ``chosen``,
    ``rejected``), every value as chat turns.

    Raises:
        TaskError: with file, line and key, and what should stand there.
    """
    examples = []
    for number, row in read_rows(path, "examples"):
        try:
            examples.append(_example(row, method))
        except TaskError as error:
            raise TaskError(f"{path}:{number}: {error}") from None
    return examples


def _example(row: Mapping[str, Any], method: str) -> dict[str, Any]:
    for key, why in _ELSEWHERE.items():
        if row.get(key):
            raise TaskError(f"{key}: {why}")
    if method == "sft" and "messages" in row:
        turns = _turns(row, "messages")
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise TaskError("messages: must end with an assistant turn, which is learnt, after at least one other turn")
        return {"prompt": turns[:-1], "completion": turns[-1:]}
    answers = ("completion",) if method == "sft" else ("chosen", "rejected")
    for key in ("prompt", *answers):
        if key not in row:
            have = ", ".join(row) or "none"
            raise TaskError(f"no {key} (keys here: {have}); {method} learns from {_NEEDED[method]}")
    prompt = _turns(row, "prompt")
    if prompt[-1]["role"] == "assistant":
        raise TaskError("prompt: ends with an assistant turn; put the answer that is learnt under its own key")
    example = {"prompt": prompt, **{key: _answer(row, key) for key in answers}}
    if method == "dpo" and example["chosen"] == example["rejected"]:
        raise TaskError("rejected: is the same answer as chosen; there is nothing to prefer")
    return example


def _answer(row: Mapping[str, Any], key: str) -> Turns:
    turns = _turns(row, key)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise TaskError(f"{key}: must be one assistant turn, or text; put the turns before it into prompt")
    return turns


def _turns(row: Mapping[str, Any], key: str) -> Turns:
    value = row[key]
    if isinstance(value, str) and key != "messages":
        value = [{"role": "user" if key == "prompt" else "assistant", "content": value}]
    if not isinstance(value, list) or not value:
        raise TaskError(f"{key}: must be a list of chat turns{'' if key == 'messages' else ', or text'}")
    for place, turn in enumerate(value):
        if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
            raise TaskError(f"{key}[{place}]: must be a turn with a role of {', '.join(_ROLES)}")
        if not isinstance(turn.get("content"), str) or not turn["content"].strip():
            raise TaskError(f"{key}[{place}].content: must be text, and not empty")
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]
