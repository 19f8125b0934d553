"""``python harness_grpo.py FOLDER``: the training job of ``FOLDER/job.json``, as a session of this project runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.training.job import Job
from harness.training.launcher import run_job

if __name__ == "__main__":
    run_job(Job.read(Path(sys.argv[1])), Path(sys.argv[1]))
