"""The stages of a run, each a folder of its run directory. Whoever goes through stages reads this list."""

from __future__ import annotations

STAGES = {
    "before": "in the evaluation before it",
    "signal": "in the signal check",
    "samples": "in the sampling of its training data",
    "train": "in training",
    "after": "in the evaluation after it",
    "baseline": "in the recording of a baseline",
}
"""Folder: where that is, in words. In the order in which they come."""

ASKED = tuple(stage for stage in STAGES if stage != "train")
"""Those that ask questions and keep the graded answers."""

SHARED = tuple(stage for stage in ASKED if stage != "baseline")
"""Those whose answers another run may use; a baseline is recorded from fresh ones."""

SIDES = ("before", "after")
"""Those that ask the test questions, held against each other."""
