"""Versions of the code that decides results. They stand in fingerprints in place of its source.

Code may be moved and reworded at will: nothing kept is lost, and no baseline becomes incomparable. Where its results
change, the version is counted up here; ``tests/golden`` holds the results of each version and fails where they are
others. A user's own reward function has no version and is known by its source.
"""

from __future__ import annotations

# What a shipped reward function, or the strict grader of tags, gives a completion.
REWARDS = {
    "boxed_numeric": 2,
    "boxed_exact": 1,
    "math_equivalent": 3,
    "answer_in_tags": 2,
    "tags_exact": 1,
    "format_boxed": 1,
    "format_tags": 1,
    "length_penalty": 1,
    "repetition_penalty": 1,
    "choice": 2,
    "exact": 2,
    "f1": 2,
    "regex": 2,
    "json_schema": 2,
}

# How values of reward functions become a reward and a status.
SCORING = 1

# What a source of questions gives: texts, final answers, worked solutions, ids, and their order.
TASKS = {"arithmetic": 1, "gsm8k": 1, "jsonl": 1}

# How a question becomes a chat, and a chat the text that a model is given.
PROMPT = 1

# How an engine answers, by rounding or by how it draws; the libraries that it computes with are named beside it.
ENGINES = {"transformers": 3, "vllm": 2, "endpoint": 1}

# How completions are drawn in GRPO; "trl" is the trainer's affair.
DRAWS = {"shared": 2}
