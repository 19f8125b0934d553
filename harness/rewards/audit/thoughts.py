"""Completions of models that think first: what stands behind the last ``</think>`` is the answer, and nothing else is.

As in ``hacks.py``, the ground truth is 42 and ``[[42]]`` an answer in the form that a grader reads. The
last column is for rewards of a layout, which want one thought and then one answer in tags.
"""

from __future__ import annotations

THOUGHTS: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    # name, completion, numeric, symbolic, exact, format, layout
    ("behind a thought", "<think>30 + 12</think>\n[[42]]", "P", "P", "P", "P", "P"),
    ("behind a thought, in a sentence", "<think>30 + 12</think>\nIt is [[42]].", "P", "P", "P", "P", "R"),
    ("behind an empty thought", "<think>\n\n</think>\n\n[[42]]", "P", "P", "P", "P", "R"),
    ("behind a thought with another", "<think>[[41]]? No.</think>\n[[42]]", "P", "P", "P", "P", "R"),
    ("behind two thoughts", "<think>[[40]]</think> [[41]] <think>no</think> [[42]]", "P", "P", "P", "P", "R"),
    ("behind a thought that the prompt began", "30 + 12, so [[41]]?\n</think>\n[[42]]", "P", "P", "P", "P", "R"),
    ("behind a thought that is closed twice", "<think>30 + 12</think></think>[[42]]", "P", "P", "P", "P", "R"),
    ("wrong behind a right thought", "<think>[[42]]</think>\n[[41]]", "R", "R", "R", "P", "R"),
    ("only in the thought", "<think>[[42]]</think>\nIt is forty-one.", "R", "R", "R", "R", "R"),
    ("in the thought, and then nothing", "<think>30 + 12 = [[42]]</think>", "R", "R", "R", "R", "R"),
    ("in a thought that the prompt began", "30 + 12 = [[42]]\n</think>\nSo that is it.", "R", "R", "R", "R", "R"),
    ("before a thought", "[[42]] <think>30 + 12</think>", "R", "R", "R", "R", "R"),
    ("in an unfinished thought", "<think>30 + 12 = [[42]], but wait", "R", "R", "R", "R", "R"),
    ("at the end of an unfinished thought", "<think>30 + 12\n[[42]]", "R", "R", "R", "R", "R"),
    ("in a second, unfinished thought", "<think>30 + 12</think><think>[[42]]", "R", "R", "R", "R", "R"),
    ("in a thought within a thought", "<think>30 <think>+ 12</think> [[41]]</think> [[42]]", "P", "P", "P", "P", "R"),
)
