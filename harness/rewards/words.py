"""Answers in words: equal, sharing words, or as a pattern has them.

>>> exact(prompts=["?"] * 3, completions=["Answer: The Eiffel Tower.", "the Eiffel tower", "Eiffel"],
...       ground_truth=["eiffel tower"] * 3)
[1.0, 1.0, 0.0]
>>> f1(prompts=["?"] * 2, completions=["Answer: Eiffel", "Answer: a Tower of Babel"], ground_truth=["Eiffel tower"] * 2)
[0.6666666666666666, 0.4]

They read what an answer marks last (in a box, in ``<answer>`` tags, behind ``####``, "Answer:" or "the answer is"), and
all of it where it marks nothing. Words are compared as SQuAD's evaluation does (arXiv:1606.05250): lower case, without
ASCII punctuation, without "a", "an" and "the", and with single blanks.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import partial

from harness.rewards.grader import Grade, Grader, configurable, reward_function
from harness.rewards.parse import undress, unwrap
from harness.store.errors import RewardError
from harness.tasks.forms import stated_answers

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def final_answer(completion: str) -> str | None:
    """What a completion marks last as its answer, undressed, or all of it; ``None`` where there is nothing."""
    return unwrap(undress(bare(said_last(completion).strip()))) or None


def bare(text: str) -> str:
    """A text without blanks and emphasis around it; where what is around it ends before a full stop, without that too.

    >>> bare("**B**."), bare("B**."), bare("option **B**."), bare("e.g.")
    ('B', 'B', 'option **B**.', 'e.g.')
    """
    text = text.strip(" \t*_`")
    inner = text.removesuffix(".")
    kept = inner.rstrip(" \t*_`")
    return text if inner[len(kept) :] in kept else kept


def said_last(completion: str) -> str:
    """The same as it stands there."""
    stated = stated_answers(completion)
    return stated[-1][2] if stated else completion


def normalized(text: str) -> str:
    """``text`` for a comparison of words; where nothing is left of it ("The?"), in lower case."""
    words = " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())
    return words or " ".join(text.lower().split())


@partial(reward_function, form="line")
def exact(completion: str, ground_truth: str) -> Grade:
    """The final answer has the words of the ground truth, in their order."""
    answer = final_answer(completion)
    return Grade(answer, answer is not None and normalized(answer) == normalized(ground_truth))


@partial(configurable, form="line")
def f1(*, correct_from: float = 0.8) -> Grader:
    """The harmonic mean of precision and recall of the final answer's words, from 0 to 1. An answer is correct where
    that is ``correct_from`` or more."""
    number = isinstance(correct_from, (int, float)) and not isinstance(correct_from, bool)
    if not number or not 0 < correct_from <= 1:
        raise RewardError(f"correct_from must be a number above 0 and at most 1, not {correct_from!r}")

    def grade(completion: str, ground_truth: str) -> Grade:
        answer = final_answer(completion)
        worth = 0.0 if answer is None else _f1(normalized(answer).split(), normalized(ground_truth).split())
        return Grade(answer, worth >= correct_from, worth)

    return grade


def _f1(answer: list[str], truth: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(truth)).values())
    return 2 * shared / (len(answer) + len(truth)) if shared else 0.0
