r"""The flexible reward, and the default: the last ``\boxed{}``, compared with the ground truth as a number.

>>> answers = [r"\boxed{\$1{,}200}", r"\boxed{\frac{2400}{2}}", r"\boxed{1200 or 1300}", "1200"]
>>> boxed_numeric(prompts=["?"] * 4, completions=answers, ground_truth=["1200"] * 4)
[1.0, 1.0, 0.0, 0.0]
"""

from __future__ import annotations

from harness.rewards.extract import last_boxed
from harness.rewards.grader import Grade, reward_function
from harness.rewards.numbers import parse_number
from harness.rewards.text import normalize


def same_number(answer: str, ground_truth: str) -> bool | None:
    """Whether two texts are the same number, exactly; ``None`` where the ground truth is not a number at all."""
    truth = parse_number(ground_truth)
    return None if truth is None else parse_number(answer) == truth


def grade(completion: str, ground_truth: str) -> Grade:
    r"""Last ``\boxed{}``, compared as an exact number; as normalized text where the ground truth is not a number."""
    answer = last_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    same = same_number(answer, ground_truth)
    if same is None:
        same = normalize(answer) == normalize(ground_truth)
    return Grade(extracted=answer.strip(), correct=same)


boxed_numeric = reward_function(grade, name="boxed_numeric")
