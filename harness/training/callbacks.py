"""What a trainer of any method is watched by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from harness.training.capture import MetricsLog
from harness.training.during import EvaluationDuring
from harness.training.monitor import HealthMonitor

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.training.spec import Job


def callbacks(job: Job, policy: Policy, directory: Path) -> list[TrainerCallback]:
    """In the order in which they act: a step's line is logged, its evaluation made, its health looked at."""
    during = [EvaluationDuring(job, policy, directory)] if job.during is not None else []
    return [MetricsLog(directory), *during, HealthMonitor(job, directory)]
