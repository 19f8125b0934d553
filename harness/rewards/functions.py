r"""The shipped reward functions. Those that grade carry ``.grade``.

>>> answers = [r"\boxed{\$1{,}200}", r"\boxed{\frac{2400}{2}}", r"\boxed{1200 or 1300}", "1200"]
>>> boxed_numeric(prompts=["?"] * 4, completions=answers, ground_truth=["1200"] * 4)
[1.0, 1.0, 0.0, 0.0]
>>> answers = [r"\boxed{18}", r"\boxed{18.0}", r"\boxed{ 18}"]
>>> boxed_exact(prompts=["?"] * 3, completions=answers, ground_truth=["18"] * 3)
[1.0, 0.0, 0.0]
>>> math_equivalent(prompts=["?"], completions=[r"\boxed{\sqrt{2}/2}"], ground_truth=[r"\frac{1}{\sqrt{2}}"])
[1.0]
>>> answers = ["<answer>1,200</answer>", r"<answer>$\boxed{1200}$.</answer>", "<answer>1201</answer>"]
>>> answer_in_tags(prompts=["?"] * 3, completions=answers, ground_truth=["1200"] * 3)
[1.0, 1.0, 0.0]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from harness.rewards.choices import choice as choice
from harness.rewards.grader import Grade, completion_text, reward_function, turn_texts
from harness.rewards.json_answers import json_schema as json_schema
from harness.rewards.parse import same_answer, undress
from harness.rewards.patterns import regex as regex
from harness.rewards.symbolic import equivalent
from harness.rewards.words import exact as exact
from harness.rewards.words import f1 as f1
from harness.store.errors import RewardError
from harness.tasks.forms import behind_thought, closing_boxes, last_boxed, last_tagged

# The same boxes as r"\\boxed\{(.*?)\}", in linear time: one that a line's end cuts off is passed over with all in it.
_COURSE_BOX = re.compile(r"\\boxed\{([^}\n]*)(\}?)")
_TAG = re.compile(r"</?(?:think|answer)>")
_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


@partial(reward_function, form="box")
def boxed_numeric(completion: str, ground_truth: str) -> Grade:
    r"""The flexible reward, and the default: the last ``\boxed{}``, compared as an exact number; as normalized text
    where the ground truth is not a number."""
    answer = last_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    return Grade(extracted=answer.strip(), correct=same_answer(answer, ground_truth))


@partial(reward_function, form="box")
def boxed_exact(completion: str, ground_truth: str) -> Grade:
    r"""The strict reward: the first ``\boxed{}`` must be the ground truth, character for character.

    It is the function that courses use, ``re.search(r"\\boxed\{(.*?)\}", completion)`` and ``==``: white space counts,
    an empty first box is wrong, and a box ends at its first closing brace, so that ``\boxed{\frac{1}{2}}`` holds
    ``\frac{1``.
    """
    answer = next((box[1] for box in _COURSE_BOX.finditer(completion) if box[2]), None)
    return Grade(extracted=answer, correct=answer == ground_truth)


@partial(reward_function, form="box")
def math_equivalent(completion: str, ground_truth: str) -> Grade:
    r"""The last ``\boxed{}`` may be any expression equal to the ground truth (:mod:`harness.rewards.symbolic`);
    undecided where SymPy runs out of time.

    Where the last box is not the answer, the boxes that follow one another up to it may be, as its several values:
    ``\boxed{2}`` and ``\boxed{3}`` for ``2, 3``.
    """
    answer = last_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    correct = equivalent(answer, ground_truth)
    if correct is False and len(boxes := closing_boxes(completion)) > 1:
        together = ", ".join(box.strip() for box in boxes)
        if equivalent(together, ground_truth):
            return Grade(extracted=together, correct=True)
    return Grade(extracted=answer.strip(), correct=correct)


@partial(reward_function, form="tags")
def answer_in_tags(completion: str, ground_truth: str) -> Grade:
    r"""The flexible reward for answers in tags (DeepSeek-R1, arXiv:2501.12948): the last ``<answer>``, compared as
    ``boxed_numeric`` does. Models that were trained on boxes and Markdown dress it: that is taken off."""
    content = last_tagged(completion, "answer")
    if content is None:
        return Grade(extracted=None, correct=False)
    answer = undress(content)
    return Grade(extracted=answer, correct=same_answer(answer, ground_truth))


@partial(reward_function, form="tags")
def tags_exact(completion: str, ground_truth: str) -> Grade:
    """The strict grader of answers in tags, no reward of a recipe's: the last ``<answer>``, equal to the ground truth
    as a string after white space is stripped from its ends."""
    content = last_tagged(completion, "answer")
    answer = None if content is None else content.strip()
    return Grade(extracted=answer, correct=answer == ground_truth.strip())


def format_boxed(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    r"""1.0 for a closed, non-empty ``\boxed{}`` behind the thought, whatever is in it. It trains the form, and grades
    nothing; more boxes are no worse, since graders take the first or the last.

    >>> format_boxed(prompts=["?", "?"], completions=[r"\boxed{7}", "7"])
    [1.0, 0.0]
    """
    return [float(last_boxed(behind_thought(text)) is not None) for text in turn_texts(prompts, completions)]


def format_tags(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """1.0 for ``<think>...</think>`` and then ``<answer>...</answer>``: DeepSeek-R1's format reward (arXiv:2501.12948,
    section 2.2.2). Each tag once, in this order, neither empty, and nothing but white space around them. Where the chat
    template opens ``<think>`` in the prompt, that one counts.

    >>> format_tags(["?"] * 2, ["<think>6 * 7</think> <answer>42</answer>", "<answer>42</answer>"])
    [1.0, 0.0]
    """
    return [float(_is_thought_and_answer(text)) for text in turn_texts(prompts, completions)]


def _is_thought_and_answer(text: str) -> bool:
    if _TAG.findall(text) != _TAGS:
        return False
    before, thought, between, answer, after = (part.strip() for part in _TAG.split(text))
    return bool(thought and answer) and not (before or between or after)


format_boxed.form, format_tags.form = "box", "thought"  # type: ignore[attr-defined]


def length_penalty(
    prompts: Sequence[Any], completions: Sequence[Any], *, max_tokens: int, soft_tokens: int, **columns: Any
) -> list[float | None]:
    """DAPO's soft overlong punishment (arXiv:2503.14476, eq. 13): 0 up to ``max_tokens - soft_tokens`` tokens, then
    linearly down to -1 at ``max_tokens``, and -1 beyond. Give it ``max_completion_length`` as ``max_tokens``, and a
    positive weight. Tokens are those of the column ``completion_tokens`` or else of TRL's ``completion_ids``.

    Raises ``RewardError`` where neither column is there or the limits make no sense.

    >>> length_penalty(["?"] * 3, ["..."] * 3, completion_tokens=[300, 350, 500], max_tokens=400, soft_tokens=100)
    [0.0, -0.5, -1.0]
    """
    _check_whole({"max_tokens": max_tokens, "soft_tokens": soft_tokens})
    if soft_tokens > max_tokens:
        raise RewardError(f"soft_tokens = {soft_tokens} must not be more than max_tokens = {max_tokens}")
    if "completion_tokens" in columns:
        lengths = columns["completion_tokens"]
    elif "completion_ids" in columns:
        lengths = [len(ids) for ids in columns["completion_ids"]]
    else:
        raise RewardError("length_penalty counts tokens: it needs the column completion_tokens or completion_ids")
    return [max(-1.0, min(0.0, (max_tokens - soft_tokens - tokens) / soft_tokens)) for tokens in lengths]


def repetition_penalty(
    prompts: Sequence[Any], completions: Sequence[Any], *, ngram_size: int = 3, **columns: Any
) -> list[float | None]:
    """Minus the share of a completion's n-grams that it had already, as in "Demystifying Long Chain-of-Thought
    Reasoning" (arXiv:2502.03373, appendix C.2), 0.0 where it has fewer than ``ngram_size`` words. The n-grams are of
    words here and not of tokens, so that kept answers can be graded without a tokenizer.

    Raises ``RewardError`` where ``ngram_size`` is not a whole number of 1 or more.

    >>> repetition_penalty(["?"] * 2, ["we add two and then four", "wait wait wait wait wait"], ngram_size=2)
    [0.0, -0.75]
    """
    _check_whole({"ngram_size": ngram_size})
    return [_repeated(completion_text(completion).split(), ngram_size) for completion in completions]


def _repeated(words: list[str], size: int) -> float:
    total = len(words) - size + 1
    if total < 2:
        return 0.0
    distinct = len(set(zip(*(islice(words, start, None) for start in range(size)), strict=False)))
    return distinct / total - 1


def _check_whole(parameters: Mapping[str, object]) -> None:
    for key, value in parameters.items():
        if type(value) is not int or value < 1:
            raise RewardError(f"{key} must be a whole number of 1 or more, not {value!r}")
