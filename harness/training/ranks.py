"""The processes of one training job: one writes (the main one, rank 0), and the others hand it what they have.

    rows = ranks.gathered(own_rows)              # in the order of ranks; on the main process, else None
    found = ranks.from_main(lambda: ask(...))    # made once, known everywhere

In a job of one process all of this is a plain call. The processes meet over gloo beside the trainer's own group: what
the main one does alone (saving, a held-out evaluation) may take far longer than a training step is given. A process
that dies does not leave the others waiting, since the agent that started them ends them too.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from harness.store.errors import TrainingError

if TYPE_CHECKING:
    from harness.training.spec import Job

T = TypeVar("T")

_WAIT = datetime.timedelta(days=7)
_STEP_SECONDS = 1800  # transformers' ddp_timeout

_group: Any = None


def start(job: Job) -> None:
    """Meet the other processes of a job, and take one GPU each.

    Raises:
        TrainingError: the job was started with another number of processes than it was written for.
    """
    global _group
    found = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if found != job.processes:
        raise TrainingError(f"the job is one of {job.processes} processes and was started with {found}")
    if job.processes == 1:
        return
    import torch
    from torch import distributed

    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not distributed.is_initialized():  # accelerate joins the group that it finds
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if job.device == "cuda" else "gloo",
            timeout=datetime.timedelta(seconds=int(job.arguments.get("ddp_timeout", _STEP_SECONDS))),
        )
    _group = distributed.new_group(backend="gloo", timeout=_WAIT)


def rank() -> int:
    """This process's number, from 0 on."""
    if _group is None:
        return 0
    from torch import distributed

    return int(distributed.get_rank())


def count() -> int:
    """How many processes train together."""
    if _group is None:
        return 1
    from torch import distributed

    return int(distributed.get_world_size())


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def gathered(value: T) -> list[T] | None:
    """Every process's value in the order of ranks, on the main process; ``None`` elsewhere. All have to call it."""
    if _group is None:
        return [value]
    from torch import distributed

    values: list[Any] | None = [None] * count() if is_main() else None
    distributed.gather_object(value, values, dst=0, group=_group)
    return values


def from_main(make: Callable[[], T]) -> T:
    """What ``make`` returns on the main process, on all of them. All have to call it; only the main one makes."""
    if _group is None:
        return make()
    from torch import distributed

    values: list[Any] = [make() if is_main() else None]
    distributed.broadcast_object_list(values, src=0, group=_group)
    found: T = values[0]
    return found


def wait() -> None:
    """Go on when every process is here."""
    from_main(lambda: None)
    gathered(None)
