"""The training process: ``python -m harness.training.worker <train directory>``. It reads ``job.json`` there."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from harness.errors import HarnessError
from harness.runs import read_json, write_json, write_text
from harness.training.arguments import argument_defaults, steps_per_batch
from harness.training.spec import Job, as_question


def train(directory: Path) -> None:
    """Run the job of a train directory from its last whole checkpoint on, and save the policy to ``final/``."""
    from transformers import set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from harness.policy import load_policy
    from harness.policy.device import peak_memory
    from harness.training import grpo
    from harness.training.capture import forget_after
    from harness.training.during import selection
    from harness.training.monitor import stopped_by
    from harness.training.signal import check_signal

    job = Job.read(directory)
    _drop_unusable_checkpoints(directory, steps_per_batch({**argument_defaults(job.method), **job.arguments}))
    checkpoint = get_last_checkpoint(str(directory))
    state = read_json(Path(checkpoint) / "trainer_state.json") if checkpoint else None
    resumed_from = int(state["global_step"]) if state else None
    forget_after(directory, resumed_from or 0)
    _try_rewards(job)
    set_seed(job.seed)
    started = time.monotonic()
    ended = state is not None and (state["global_step"] >= state["max_steps"] or stopped_by(job, directory) is not None)
    if state and ended:  # killed while the final policy was being saved
        steps, policy = int(state["global_step"]), load_policy(str(checkpoint), device=job.device, dtype=job.dtype)
    else:
        policy = load_policy(job.model, device=job.device, dtype=job.dtype)
        if checkpoint is None:
            check_signal(job, policy, directory)
        trainer = grpo.build(job, policy, directory)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=checkpoint)
        steps = trainer.state.global_step
    seconds = time.monotonic() - started
    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)  # without a summary it is what a kill left
    selected = selection(job, directory, steps)
    if selected is None:
        policy.save(unfinished)
    else:
        shutil.copytree(directory / f"best-{selected['step']}", unfinished)
    unfinished.rename(final)
    (directory / "README.md").unlink(missing_ok=True)  # the trainer's model card knows nothing of the model
    write_json(
        directory / "summary.json",
        {
            "steps": steps,
            "resumed_from": resumed_from,
            "seconds": seconds,
            "seconds_per_step": seconds / max(1, steps - (resumed_from or 0)),
            "completions": sum(1 for _ in (directory / "completions.jsonl").open(encoding="utf-8")),
            "peak_memory_bytes": peak_memory(job.device),
            "stopped": stopped_by(job, directory),
            "selected": selected,
        },
    )
    for kept in directory.glob("best-*"):
        shutil.rmtree(kept)


def _try_rewards(job: Job) -> None:
    """Call every reward function once, as evaluation will: one that is missing or breaks its contract is named before
    anything is spent on training."""
    from harness.evaluation import grade
    from harness.records import Generation

    question = as_question(job.rows[0])
    grade(
        [Generation(question.id, 0, job.seed, question.prompt, "", "stop", 0, 0)], {question.id: question}, job.rewards
    )


def _drop_unusable_checkpoints(directory: Path, period: int) -> None:
    """Drop checkpoints that a kill tore (``trainer_state.json`` is written last) or that lie within a generation batch:
    the trainer would sample that batch's questions again."""
    for checkpoint in directory.glob("checkpoint-*"):
        state = read_json(checkpoint / "trainer_state.json")
        if state is None or (state["global_step"] % period and state["global_step"] < state["max_steps"]):
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
    if hasattr(signal, "SIGUSR1"):  # the launcher asks a hung job where it stands; the answer goes to the log
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        train(directory)
    except HarnessError as error:
        # The parent shows this sentence instead of the log.
        write_text(directory / "error.txt", f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
