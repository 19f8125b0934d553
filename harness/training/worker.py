"""The training process: ``python -m harness.training.worker <train directory>``. It reads ``job.json`` there."""

from __future__ import annotations

import faulthandler
import importlib
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness.environment import without_secrets
from harness.errors import HarnessError
from harness.runs import read_json, read_lines, write_json, write_text
from harness.training.config import checkpoint_period
from harness.training.spec import Job, as_question


def train(directory: Path) -> None:
    """Run the job of a train directory from its last whole checkpoint on, and save the policy to ``final/``."""
    from transformers import set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from harness.policy import load_policy
    from harness.policy.device import peak_memory
    from harness.training.capture import forget_after
    from harness.training.during import selection
    from harness.training.lora import load_adapter, save_final
    from harness.training.monitor import stopped_by
    from harness.training.signal import check_signal

    job = Job.read(directory)
    _drop_unusable_checkpoints(directory, checkpoint_period(job))
    checkpoint = get_last_checkpoint(str(directory))
    state = read_json(Path(checkpoint) / "trainer_state.json") if checkpoint else None
    resumed_from = int(state["global_step"]) if state else None
    forget_after(directory, resumed_from or 0)
    if job.method == "grpo":
        _try_rewards(job)
    set_seed(job.seed)
    started = time.monotonic()
    finished = state is not None and (  # killed while the final policy was being saved
        state["global_step"] >= state["max_steps"] or stopped_by(job, directory) is not None
    )
    whole = finished and job.lora is None
    # What is trained starts as plain weights, also where the base is an adapter.
    policy = load_policy(str(checkpoint) if whole else job.model, device=job.device, dtype=job.dtype).merged()
    if finished:
        steps = resumed_from or 0
        if job.lora is not None:
            load_adapter(policy, Path(str(checkpoint)))
    else:
        if checkpoint is None:
            check_signal(job, policy, directory)
        trainer = importlib.import_module(f"harness.training.{job.method}").build(job, policy, directory)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=checkpoint)
        policy.model, steps = trainer.model, trainer.state.global_step
    seconds = time.monotonic() - started
    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)  # without a summary it is what a kill left
    selected = selection(job, directory, steps)
    best = None if selected is None else directory / f"best-{selected['step']}"
    if best is not None and job.lora is not None:
        policy = load_policy(job.model, device=job.device, dtype=job.dtype).merged()
        load_adapter(policy, best)
    if best is None or job.lora is not None:
        save_final(job, policy, unfinished)
    else:
        shutil.copytree(best, unfinished)
    unfinished.rename(final)
    (directory / "README.md").unlink(missing_ok=True)  # the trainer's model card knows nothing of the model
    write_json(
        directory / "summary.json",
        {
            "steps": steps,
            "resumed_from": resumed_from,
            "seconds": seconds,
            "seconds_per_step": seconds / max(1, steps - (resumed_from or 0)),
            **_cost(job, directory),
            "peak_memory_bytes": peak_memory(job.device),
            "stopped": stopped_by(job, directory),
            "selected": selected,
        },
    )
    for kept in directory.glob("best-*"):
        shutil.rmtree(kept)


def _cost(job: Job, directory: Path) -> dict[str, Any]:
    """What was sampled, in training or for it, and how many examples or pairs were learnt from."""
    if job.method != "grpo":
        return {"examples": len(job.rows), **(job.sampled or {"completions": 0, "sampled_tokens": 0})}
    from harness.training.files import COMPLETIONS

    tokens = [row["completion_tokens"] for row in read_lines(directory / COMPLETIONS)]
    return {"completions": len(tokens), "sampled_tokens": sum(tokens)}


def _try_rewards(job: Job) -> None:
    """Call every reward function, as evaluation will: one that is missing, or that fails from its first call on, is
    named before anything is spent on training."""
    from harness.errors import RewardError
    from harness.grading import grade
    from harness.records import Generation
    from harness.rewards import RewardCalls

    calls = RewardCalls(job.rewards)
    question = as_question(job.rows[0])
    tried = [Generation(question.id, sample, job.seed, question.prompt, "", "stop", 0, 0) for sample in range(2)]
    grade(tried, {question.id: question}, job.rewards, calls)
    for name in calls.faults.reasons:
        if calls.faults.share(name) >= 1:
            (reason, *_) = calls.faults.reasons[name]
            raise RewardError(f'reward function "{name}" {reason}')


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
        write_text(directory / "error.txt", without_secrets(f"{error}\n"))
        raise SystemExit(2) from None
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; a reward's hung thread must not keep the process


if __name__ == "__main__":
    main()
