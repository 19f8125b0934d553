"""The agent of a training job on one machine: ``python -m harness.training.agent <train directory>``.

It is ``torch.distributed.run`` with what ``launch.json`` says: it starts this machine's processes, starts all of them
again when one dies, and gives up after ``max_restarts``. Beside that it takes the machine's GPUs for them, ends with
the process that started it, and leaves a note of which process failed first.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from harness.models.processes import end_with_parent, gpus_for
from harness.store.errors import HarnessError
from harness.store.run_directory import write_text
from harness.training.nodes import Launch, blame, keep_failure


def main() -> None:
    directory = Path(sys.argv[1])
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))  # torch's own handler then ends the processes
    try:
        launch = Launch.read(directory)
        if launch.device == "cuda":
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_for(launch.nproc_per_node))
    except HarnessError as error:
        write_text(directory / "error.txt", f"{error}\n")
        raise SystemExit(2) from None
    # One that outlives its processes would tell the next ones where the last ones were to be found.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(launch.arguments(directory)))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        keep_failure(directory, _first(error.failures))
        raise SystemExit(1) from None


def _first(failures: dict[int, Any]) -> dict[str, Any]:
    """The failure that the others came from."""
    found = [
        {"rank": rank, "exitcode": failure.exitcode, "time": failure.timestamp} for rank, failure in failures.items()
    ]
    return min(found, key=blame)


if __name__ == "__main__":
    main()
