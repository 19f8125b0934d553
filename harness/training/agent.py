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

from harness.errors import HarnessError
from harness.processes import end_with_parent, gpus_for
from harness.runs import write_text
from harness.training.nodes import Launch, keep_failure


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
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.run(run.parse_args(launch.arguments(directory)))
    except ChildFailedError as error:
        keep_failure(directory, _first(error.failures))
        raise SystemExit(1) from None


def _first(failures: dict[int, Any]) -> dict[str, Any]:
    """The failure that came first; one by a signal rather than those of the processes that then lost it."""
    rank, failure = min(failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].timestamp))
    killed = -failure.exitcode if failure.exitcode < 0 else 0
    return {"rank": rank, "exitcode": failure.exitcode, "signal": killed, "time": failure.timestamp}


if __name__ == "__main__":
    main()
