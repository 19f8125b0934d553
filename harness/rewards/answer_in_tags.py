r"""The flexible reward for prompts that ask for ``<answer>...</answer>``: the last one, compared as a number.

The form is DeepSeek-R1's (arXiv:2501.12948). A ``\boxed{}`` around the whole content is taken off, since models that
were trained on boxes put one there.

>>> answers = ["<answer>1,200</answer>", r"<answer>\boxed{1200}</answer>", "<answer>1201</answer>", r"\boxed{1200}"]
>>> answer_in_tags(prompts=["?"] * 4, completions=answers, ground_truth=["1200"] * 4)
[1.0, 1.0, 0.0, 0.0]
"""

from __future__ import annotations

from harness.rewards.compare import same_answer
from harness.rewards.extract import first_boxed
from harness.rewards.grader import Grade, reward_function
from harness.rewards.tags import last_tagged


def grade(completion: str, ground_truth: str) -> Grade:
    """Last ``<answer>``, compared as an exact number; as normalized text where the ground truth is not a number."""
    content = last_tagged(completion, "answer")
    if content is None:
        return Grade(extracted=None, correct=False)
    answer = _unboxed(content.strip())
    return Grade(extracted=answer, correct=same_answer(answer, ground_truth))


def _unboxed(content: str) -> str:
    inner = first_boxed(content)
    return inner.strip() if inner is not None and content == rf"\boxed{{{inner}}}" else content


answer_in_tags = reward_function(grade, name="answer_in_tags")
