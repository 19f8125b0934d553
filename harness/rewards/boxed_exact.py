r"""The strict reward: the first ``\boxed{}`` must be the ground truth, character for character.

>>> boxed_exact(prompts=["?", "?"], completions=[r"\boxed{18}", r"\boxed{18.0}"], ground_truth=["18", "18"])
[1.0, 0.0]
"""

from __future__ import annotations

from harness.rewards.extract import first_boxed
from harness.rewards.grader import Grade, reward_function


def grade(completion: str, ground_truth: str) -> Grade:
    r"""First ``\boxed{}``, equal to the ground truth as a string after white space is stripped from both ends."""
    answer = first_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    return Grade(extracted=answer.strip(), correct=answer.strip() == ground_truth.strip())


boxed_exact = reward_function(grade, name="boxed_exact")
