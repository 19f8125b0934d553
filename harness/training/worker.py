"""The training process: ``python -m harness.training.worker <train directory>``. It reads ``job.json`` there."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

from harness.errors import HarnessError
from harness.runs import write_json, write_text


def train(directory: Path) -> None:
    """Run the job of a train directory from its last whole checkpoint on, and save the policy to ``final/``."""
    from transformers import set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from harness.policy import load_policy
    from harness.policy.device import peak_memory
    from harness.training import grpo
    from harness.training.capture import forget_after
    from harness.training.spec import Job

    job = Job.read(directory)
    _drop_torn_checkpoints(directory)
    checkpoint = get_last_checkpoint(str(directory))
    resumed_from = int(checkpoint.rsplit("-", 1)[1]) if checkpoint else None
    forget_after(directory, resumed_from or 0)
    set_seed(job.seed)
    policy = load_policy(job.model, device=job.device, dtype=job.dtype)
    trainer = grpo.build(job, policy, directory)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    steps = trainer.state.global_step
    unfinished = directory / ".final"
    shutil.rmtree(unfinished, ignore_errors=True)
    policy.save(unfinished)
    unfinished.rename(directory / "final")
    write_json(
        directory / "summary.json",
        {
            "steps": steps,
            "resumed_from": resumed_from,
            "seconds": seconds,
            "seconds_per_step": seconds / max(1, steps - (resumed_from or 0)),
            "completions": sum(1 for _ in (directory / "completions.jsonl").open(encoding="utf-8")),
            "peak_memory_bytes": peak_memory(job.device),
        },
    )


def _drop_torn_checkpoints(directory: Path) -> None:
    """``trainer_state.json`` is the last file of a checkpoint that Trainer writes; without it a kill came between."""
    for checkpoint in directory.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").is_file():
            shutil.rmtree(checkpoint)


def _end_with_parent() -> None:
    """The parent holds our standard input open; when it dies, however it dies, the pipe closes and so do we."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    directory = Path(sys.argv[1])
    _end_with_parent()
    try:
        train(directory)
    except HarnessError as error:
        # The parent shows this sentence instead of the log.
        write_text(directory / "error.txt", f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
