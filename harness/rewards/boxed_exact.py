r"""The strict reward: the first ``\boxed{}`` must be the ground truth, character for character.

It is the function that courses use, ``re.search(r"\\boxed\{(.*?)\}", completion)`` and ``==``: white space counts, an
empty first box is wrong, and a box ends at its first closing brace, so that ``\boxed{\frac{1}{2}}`` holds ``\frac{1``.

>>> answers = [r"\boxed{18}", r"\boxed{18.0}", r"\boxed{ 18}"]
>>> boxed_exact(prompts=["?"] * 3, completions=answers, ground_truth=["18"] * 3)
[1.0, 0.0, 0.0]
"""

from __future__ import annotations

import re

from harness.rewards.grader import Grade, reward_function

# The same boxes as r"\\boxed\{(.*?)\}", in linear time: one that a line's end cuts off is passed over with all in it.
_BOX = re.compile(r"\\boxed\{([^}\n]*)(\}?)")


def grade(completion: str, ground_truth: str) -> Grade:
    r"""First ``\boxed{}`` of the course's pattern, equal to the ground truth as a string."""
    answer = next((box[1] for box in _BOX.finditer(completion) if box[2]), None)
    return Grade(extracted=answer, correct=answer == ground_truth)


boxed_exact = reward_function(grade, name="boxed_exact", form="box")
