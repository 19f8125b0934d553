r"""The flexible reward, and the default: the last ``\boxed{}``, compared with the ground truth as a number.

>>> answers = [r"\boxed{\$1{,}200}", r"\boxed{\frac{2400}{2}}", r"\boxed{1200 or 1300}", "1200"]
>>> boxed_numeric(prompts=["?"] * 4, completions=answers, ground_truth=["1200"] * 4)
[1.0, 1.0, 0.0, 0.0]
"""

from __future__ import annotations

from harness.rewards.compare import same_answer
from harness.rewards.grader import Grade, reward_function
from harness.tasks.boxes import last_boxed


def grade(completion: str, ground_truth: str) -> Grade:
    r"""Last ``\boxed{}``, compared as an exact number; as normalized text where the ground truth is not a number."""
    answer = last_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    return Grade(extracted=answer.strip(), correct=same_answer(answer, ground_truth))


boxed_numeric = reward_function(grade, name="boxed_numeric", form="box")
