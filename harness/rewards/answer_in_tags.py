r"""The flexible reward for prompts that ask for ``<answer>...</answer>``: the last one, compared as a number.

The form is DeepSeek-R1's (arXiv:2501.12948). Models that were trained on boxes and Markdown dress the answer in the
tags: a ``\boxed{}`` stands for what is in it, and emphasis, mathematical mode and a full stop are taken off. What else
is there is part of the answer: ``not \boxed{42}`` is not 42.

>>> answers = ["<answer>1,200</answer>", r"<answer>$\boxed{1200}$.</answer>", "<answer>1201</answer>", r"\boxed{1200}"]
>>> answer_in_tags(prompts=["?"] * 4, completions=answers, ground_truth=["1200"] * 4)
[1.0, 1.0, 0.0, 0.0]
"""

from __future__ import annotations

import re

from harness.rewards.compare import same_answer
from harness.rewards.grader import Grade, reward_function
from harness.tasks.boxes import last_box
from harness.tasks.tags import last_tagged

_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3}|__?|`)(?=\S)([^*`]+)(?<=\S)\1(?![\w*])")
_MATHS_MODE = re.compile(r"(?<!\\)\$\$?|\\[()\[\]]")
_FULL_STOP = re.compile(r"(?<![.\d])\.\Z")  # "42." is a number as it stands
_MAX_LAYERS = 8
_MAX_CHARACTERS = 10_000  # a longer one is not dressed


def grade(completion: str, ground_truth: str) -> Grade:
    """Last ``<answer>``, compared as an exact number; as normalized text where the ground truth is not a number."""
    content = last_tagged(completion, "answer")
    if content is None:
        return Grade(extracted=None, correct=False)
    answer = _undressed(content)
    return Grade(extracted=answer, correct=same_answer(answer, ground_truth))


def exact(completion: str, ground_truth: str) -> Grade:
    """Last ``<answer>``, equal to the ground truth as a string after white space is stripped from its ends."""
    content = last_tagged(completion, "answer")
    answer = None if content is None else content.strip()
    return Grade(extracted=answer, correct=answer == ground_truth.strip())


def _undressed(content: str) -> str:
    content = content.strip()
    if len(content) > _MAX_CHARACTERS:
        return content
    for _ in range(_MAX_LAYERS):
        peeled = _unboxed(_FULL_STOP.sub("", _EMPHASIS.sub(r"\2", content)).strip())
        if peeled == content:
            break
        content = peeled
    return content


def _unboxed(content: str) -> str:
    """``content`` with what is in its only box in place of the box, and of the mathematical mode around that."""
    if (box := last_box(content)) is None:
        return content
    before, behind = content[: box[0]], content[box[1] :]
    two = last_box(before) or re.search(r"[\w.,]\Z", before) or re.match(r"\w|[.,]\w", behind)  # would become one
    if two:
        return content
    return f"{_MATHS_MODE.sub('', before)}{box[2].strip()}{_MATHS_MODE.sub('', behind)}".strip()


answer_in_tags = reward_function(grade, name="answer_in_tags", form="tags")
tags_exact = reward_function(exact, name="tags_exact", form="tags")
"""The strict grader of answers in tags. It is no reward of a recipe's."""
