r"""Models that think first: ``<think>...</think>``, and then the answer.

An answer is what stands behind the last ``</think>``; a thought that is not finished holds none. Every grader reads by
:func:`behind_thought`, since ``reward_function`` puts it before each.

    >>> behind_thought(r"<think>\boxed{41}? No.</think> \boxed{42}"), behind_thought(r"<think>Is it \boxed{42}? Wait")
    (' \\boxed{42}', '')

Some chat templates open the thought in the prompt, so that a completion begins inside it. The harness puts what the
template opened (:func:`opened_by`) back before such a completion, once, where completions are made: in every stage,
reward functions are given and records keep the whole turn, ``<think>`` included.
"""

from __future__ import annotations

OPENING, CLOSING = "<think>", "</think>"


def behind_thought(completion: str) -> str:
    """What a completion says after its last thought, without a thought that is begun there and not finished."""
    return completion.rpartition(CLOSING)[2].partition(OPENING)[0]


def opened_by(prompt: str) -> str:
    r"""The ``<think>`` in which a rendered prompt ends, with the blanks behind it; ``""`` where it ends otherwise.

    >>> opened_by("<|assistant|><think>\n"), opened_by("<|assistant|><think>\n\n</think>\n\n")
    ('<think>\n', '')
    """
    end = prompt.rstrip()
    return prompt[len(end) - len(OPENING) :] if end.endswith(OPENING) else ""
