r"""One-step word problems, made on the spot: the task that needs neither a download nor a GPU.

>>> question = arithmetic_questions("test", 2)[1]
>>> question.text
'Grace has 2 bags with 7 coins in each. How many coins does Grace have in all?'
>>> print(question.solution)
2 * 7 = 14, so the answer is \boxed{14}
"""

from __future__ import annotations

import random
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Literal

from harness.store.errors import TaskError
from harness.store.question import Question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPERATIONS = ("add", "subtract", "multiply")

_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*"}

# Every template names a, b, name and item, so that no two choices of these can give the same text.
_TEMPLATES = {
    "add": (
        "{name} has {a} {item}{a_s} and finds {b} more. How many {item}s does {name} have now?",
        "{name} buys {a} {item}{a_s} in the morning and {b} in the evening. How many {item}s does {name} buy in all?",
        "{name} puts {a} {item}{a_s} on the table, then {b} more. How many {item}s are on the table now?",
        "{name} counts {a} red {item}{a_s} and {b} blue {item}{b_s}. How many {item}s are there in all?",
    ),
    "subtract": (
        "{name} has {a} {item}{a_s} and gives away {b}. How many {item}s are left?",
        "{name} had {a} {item}{a_s} and lost {b}. How many {item}s does {name} have now?",
        "{name} puts {a} {item}{a_s} on the table and takes {b} back. How many {item}s are on the table now?",
        "{name} buys {a} {item}{a_s} and sells {b}. How many {item}s does {name} keep?",
    ),
    "multiply": (
        "{name} has {a} bag{a_s} with {b} {item}{b_s} in each. How many {item}s does {name} have in all?",
        "{name} buys {b} {item}{b_s} every day for {a} day{a_s}. How many {item}s does {name} buy in all?",
        "{name} fills {a} box{a_es} with {b} {item}{b_s} in each. How many {item}s are in the boxes?",
        "{name} gives {b} {item}{b_s} to each of {a} friend{a_s}. How many {item}s does {name} give away?",
    ),
}

_NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ivy", "Lena", "Omar", "Tom")

# All take a plain "s" in the plural.
_ITEMS = ("apple", "book", "card", "coin", "cup", "egg", "pen", "shell", "stone", "toy")


def arithmetic_questions(
    split: Literal["train", "test"],
    count: int,
    *,
    seed: int = 0,
    operations: Sequence[str] = OPERATIONS,
    largest: int = 12,
) -> list[Question]:
    """Return ``count`` different questions of ``split``, with operands from 1 to ``largest`` and results from 0 up.

    A question belongs to its split by a hash of its text, one in five to test, so train and test share no text
    whatever the seeds. ``seed`` sets the order alone: the first ``n`` questions are the same for every ``count >= n``.

    Raises ``TaskError`` for an unknown split or operation, for ``largest < 1`` or ``count < 0``,
    and where fewer than ``count`` such questions exist.
    """
    if split not in ("train", "test"):
        raise TaskError(f"arithmetic has no split {split!r}: write 'train' or 'test'.")
    if count < 0:
        raise TaskError(f"arithmetic cannot give {count} questions: ask for 0 or more.")
    if largest < 1:
        raise TaskError(f"arithmetic needs largest >= 1, not {largest}: it is the largest number in a question.")
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown or not operations:
        wrong = f"has no operation {unknown[0]!r}" if unknown else "needs at least one operation"
        raise TaskError(f"arithmetic {wrong}: choose from {', '.join(OPERATIONS)}.")

    chosen = [name for name in OPERATIONS if name in operations]  # in one order, each once: the seed alone shuffles
    of_split = (question for question in _shuffled(chosen, largest, seed) if question.split == split)
    questions = list(islice(of_split, count))
    if len(questions) < count:
        raise TaskError(
            f"arithmetic has {len(questions)} {split} questions ({', '.join(chosen)}; numbers to {largest}) and "
            f"{count} were asked for: ask for fewer, raise largest or add operations."
        )
    return questions


def _shuffled(operations: Sequence[str], largest: int, seed: int) -> Iterator[Question]:
    """Yield every question of both splits once, in an order set by ``seed``."""
    forms = [(operation, template) for operation in operations for template in _TEMPLATES[operation]]
    size = len(forms) * len(_NAMES) * len(_ITEMS) * largest * largest
    rng = random.Random(seed)
    # A Fisher-Yates shuffle that remembers only the places it has changed: a few questions of millions cost little.
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        index = moved.get(other, other)
        moved[other] = moved.pop(place, place)
        index, form = divmod(index, len(forms))
        index, name = divmod(index, len(_NAMES))
        index, item = divmod(index, len(_ITEMS))
        a, b = (number + 1 for number in divmod(index, largest))
        operation, template = forms[form]
        if operation == "subtract" and a < b:
            continue
        yield _question(operation, template, _NAMES[name], _ITEMS[item], a, b)


def _question(operation: str, template: str, name: str, item: str, a: int, b: int) -> Question:
    endings = {"a_s": "" if a == 1 else "s", "a_es": "" if a == 1 else "es", "b_s": "" if b == 1 else "s"}
    text = template.format(name=name, item=item, a=a, b=b, **endings)
    digest = sha256(text.encode()).hexdigest()
    split = "test" if int(digest, 16) % 5 == 0 else "train"
    result = {"add": a + b, "subtract": a - b, "multiply": a * b}[operation]
    return Question(
        id=f"arithmetic/{split}/{digest[:12]}",
        text=text,
        ground_truth=str(result),
        split=split,
        solution=f"{a} {_SYMBOLS[operation]} {b} = {result}, so the answer is \\boxed{{{result}}}",
    )
