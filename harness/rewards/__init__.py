r"""Graders and reward functions: training, gating and reporting judge an answer by the same code.

Each reward function has TRL's signature and can be given to a trainer as it is; its dataset column ``ground_truth``
holds the final answers:

    >>> from harness.rewards import boxed_numeric
    >>> completions = [r"48 / 2 + 48 = \boxed{72}", r"\boxed{\$72.00}", "It is 72.", r"\boxed{27}"]
    >>> boxed_numeric(prompts=["?"] * 4, completions=completions, ground_truth=["72"] * 4)
    [1.0, 1.0, 0.0, 0.0]
    >>> boxed_numeric.grade("It is 72.", "72")
    Grade(extracted=None, correct=False)

    trainer = GRPOTrainer(model, reward_funcs=[boxed_numeric], train_dataset=dataset)

docs/rewards.md lists the shipped ones. The first of a recipe that carries ``.grade`` decides whether an answer is
correct; where none does, ``boxed_numeric`` decides.

A reward of your own is any function with that signature, sync or async, named ``"package.module:function"`` in a
recipe. Made from a grader with :func:`reward_function`, its grades decide accuracy and show in the report. Graders read
what stands behind the last ``</think>`` (:func:`behind_thought`). Nothing here knows a model or a run.
"""

from harness.rewards.functions import (
    answer_in_tags,
    boxed_exact,
    boxed_numeric,
    choice,
    exact,
    f1,
    format_boxed,
    format_tags,
    json_schema,
    length_penalty,
    math_equivalent,
    regex,
    repetition_penalty,
)
from harness.rewards.grader import (
    Grade,
    Grader,
    GradingRewardFunction,
    RewardFunction,
    completion_text,
    reward_function,
)
from harness.rewards.parse import parse_number
from harness.rewards.registry import SHIPPED, Rewards, answer_form, functions_of, resolve_reward, reward_version
from harness.rewards.runner import RewardCalls
from harness.rewards.score import Scored, score_all, weighted_total
from harness.tasks.forms import behind_thought, last_boxed

__all__ = [
    "SHIPPED",
    "Grade",
    "Grader",
    "GradingRewardFunction",
    "RewardCalls",
    "RewardFunction",
    "Rewards",
    "Scored",
    "answer_form",
    "answer_in_tags",
    "behind_thought",
    "boxed_exact",
    "boxed_numeric",
    "choice",
    "completion_text",
    "exact",
    "f1",
    "format_boxed",
    "format_tags",
    "functions_of",
    "json_schema",
    "last_boxed",
    "length_penalty",
    "math_equivalent",
    "parse_number",
    "regex",
    "repetition_penalty",
    "resolve_reward",
    "reward_function",
    "reward_version",
    "score_all",
    "weighted_total",
]
