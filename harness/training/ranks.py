"""The processes of one training job: one writes (the main one, rank 0), and the others hand it what they have.

    rows = ranks.gathered(own_rows)              # in the order of ranks; on the main process, else None
    found = ranks.from_main(lambda: ask(...))    # made once, known everywhere

In a job of one process all of this is a plain call. The processes meet over gloo beside the trainer's own group: what
the main one does alone (saving, a held-out evaluation) may take far longer than a training step is given. A process
that dies does not leave the others waiting, since whoever started them ends them too.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from harness.store.errors import TrainingError

if TYPE_CHECKING:
    from harness.training.job import Job

T = TypeVar("T")

_WAIT = datetime.timedelta(days=7)
_STEP_SECONDS = 1800  # transformers' ddp_timeout

_group: Any = None
_rank, _count = 0, 1


def start(job: Job) -> None:
    """Meet the other processes of a job, and take one GPU each.

    Raises:
        TrainingError: the job was started with another number of processes than it was written for.
    """
    global _group, _rank, _count
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != job.processes:
        raise TrainingError(
            f"[launch] nproc_per_node: the job is one of {job.processes} processes and was started with {started}"
        )
    if job.processes == 1:
        return
    import torch
    from torch import distributed

    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:  # accelerate calls the device cpu:0, and older transformers load checkpoints to that name
        torch.serialization.register_package(0, lambda storage: None, _to_cpu)
    distributed.init_process_group(  # accelerate joins the group that it finds
        "cpu:gloo,cuda:nccl" if job.device == "cuda" else "gloo",
        timeout=datetime.timedelta(seconds=int(job.arguments.get("ddp_timeout", _STEP_SECONDS))),
    )
    _group = distributed.new_group(backend="gloo", timeout=_WAIT)
    _rank, _count = distributed.get_rank(), distributed.get_world_size()


def _to_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith("cpu:") else None


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return _rank == 0


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of what all of them do together."""
    return items[_rank::_count]


def gathered(value: T) -> list[T] | None:
    """Every process's value in the order of ranks, on the main process; ``None`` elsewhere. All have to call it."""
    if _group is None:
        return [value]
    from torch import distributed

    values: list[Any] | None = [None] * _count if is_main() else None
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
