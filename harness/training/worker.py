"""The training process: ``python -m harness.training.worker <train directory>``. It reads ``job.json`` there."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.models.processes import end_with_parent
from harness.models.source import write_base
from harness.rewards.grading import try_rewards
from harness.store.errors import HarnessError
from harness.store.run_directory import read_json, write_text
from harness.store.run_files import COMPLETIONS, TRAINED, Sampled, TrainingSummary
from harness.training import ranks
from harness.training.job import Job, as_question, report_activity

if TYPE_CHECKING:
    from harness.models import Policy


class _Start(NamedTuple):
    """Where a job begins: its last whole checkpoint with that one's step, and whether that was the last step."""

    checkpoint: str | None
    step: int
    finished: bool


def train(directory: Path, *, prints: bool = True) -> None:
    """Run the job of a train directory from its last whole checkpoint on, and save the policy to ``final/``.

    In a job of several processes each of them calls this; the main one alone writes, and the others wait for it.
    ``prints`` what each step logs, for ``log.txt``; ``metrics.jsonl`` has it anyway.
    """
    from transformers import PrinterCallback, set_seed

    from harness.models.device import peak_memory
    from harness.training.callbacks import stopped_by
    from harness.training.held_out import selection
    from harness.training.trainers import build

    job = Job.read(directory)
    # How often the processes of this machine were started again because one of them died.
    restarts = max(ranks.gathered(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))) or [0])
    start = ranks.from_main(lambda: _prepare(job, directory, restarts))
    set_seed(job.seed)
    started, trainer, steps = time.monotonic(), None, start.step
    policy = job.load(start.checkpoint if start.finished and job.lora is None else None)
    if not start.finished:
        trainer = build(job, policy, directory)
        if not prints:
            trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=start.checkpoint)
        policy.model, steps = trainer.model, trainer.state.global_step
    elif job.lora is not None:
        from harness.models.load import put_on

        policy.model = put_on(policy, Path(str(start.checkpoint)))
    seconds = time.monotonic() - started
    if trainer is not None and job.shares_weights:
        trainer.save_model(str(directory / ".whole"))  # every process gives its part
    memory = ranks.gathered(peak_memory(job.device))
    ranks.from_main(lambda: _save(job, policy, directory, steps))
    if memory is not None:
        sampled = _sampled(job, directory)
        summary = TrainingSummary(
            steps=steps,
            resumed_from=None if start.checkpoint is None else start.step,
            seconds=seconds,
            seconds_per_step=seconds / max(1, steps - start.step),
            examples=None if job.method == "grpo" else len(job.rows),
            completions=sampled.completions,
            sampled_tokens=sampled.sampled_tokens,
            sampling_seconds=sampled.sampling_seconds,
            peak_memory_bytes=max(memory),
            slow=getattr(trainer, "slow", None),
            stopped=stopped_by(job, directory),
            selected=selection(job, directory, steps),
            training_key=job.key,
            processes=job.processes,
            restarts=restarts,
        )
        TRAINED.write(directory, summary)
        for kept in (*directory.glob("best-*"), directory / ".whole"):
            shutil.rmtree(kept, ignore_errors=True)


def _prepare(job: Job, directory: Path, restarts: int) -> _Start:
    """Make the directory one that a job can begin or go on in."""
    from transformers.trainer_utils import get_last_checkpoint

    from harness.training.callbacks import forget_after, note_restart, stopped_by
    from harness.training.held_out import selection
    from harness.training.trainers import checkpoint_period

    shutil.rmtree(directory / ".whole", ignore_errors=True)
    _drop_unusable_checkpoints(directory, checkpoint_period(job), job)
    checkpoint = get_last_checkpoint(str(directory))
    state = read_json(Path(checkpoint) / "trainer_state.json") if checkpoint else None
    step = int(state["global_step"]) if state else 0
    forget_after(directory, step)
    if (chosen := selection(job, directory, step)) and not (directory / f"best-{chosen.step}").is_dir():
        for each in directory.glob("checkpoint-*"):  # the policy that was selected can only be trained again
            shutil.rmtree(each)
        checkpoint, state, step = None, None, 0
        forget_after(directory, step)
    if restarts:
        report_activity(directory, "restarted", step)
        note_restart(job, directory, step, restarts)
    if job.method == "grpo":
        try_rewards(job.rewards, as_question(job.rows[0]))
    finished = state is not None and (  # killed while the final policy was being saved
        step >= state["max_steps"] or stopped_by(job, directory) is not None
    )
    return _Start(checkpoint, step, finished)


def _drop_unusable_checkpoints(directory: Path, period: int, job: Job) -> None:
    """Drop checkpoints that a kill tore (``trainer_state.json`` is written last, but for the random states of other
    processes), whose weights are not whole, or that lie within a generation batch: the trainer would sample that
    batch's questions again."""
    for checkpoint in directory.glob("checkpoint-*"):
        state, processes = read_json(checkpoint / "trainer_state.json"), job.processes
        torn = processes > 1 and len(list(checkpoint.glob("rng_state_*.pth"))) < processes
        weights = list(checkpoint.glob("*.safetensors"))
        torn = torn or not all(map(_is_whole, weights)) or not (weights or job.shares_weights)
        if state is None or torn or (state["global_step"] % period and state["global_step"] < state["max_steps"]):
            shutil.rmtree(checkpoint)


def _is_whole(weights: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _save(job: Job, policy: Policy, directory: Path, steps: int) -> None:
    """Put the trained policy, or the one that was selected, into ``final/``: plain weights, or the adapter alone where
    ``[lora]`` says ``merge = false``."""
    from harness.training.held_out import selection

    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)  # without a summary it is what a kill left
    selected = selection(job, directory, steps)
    whole = directory / ".whole" if (directory / ".whole").is_dir() else None
    saved = whole if selected is None else directory / f"best-{selected.step}"
    if saved is not None and job.lora is None:
        shutil.copytree(saved, unfinished)
    else:
        if saved is not None:
            policy = job.load()
            from harness.models.load import put_on

            policy.model = put_on(policy, saved)
        alone = job.lora is not None and not job.lora["merge"]
        (policy if alone else policy.merged()).save(unfinished)
        if alone and job.base is not None:
            write_base(unfinished, job.base)
    unfinished.rename(final)
    (directory / "README.md").unlink(missing_ok=True)  # the trainer's model card knows nothing of the model


def _sampled(job: Job, directory: Path) -> Sampled:
    """What was sampled, in training or for it."""
    if job.method != "grpo":
        return job.sampled
    tokens = [row.completion_tokens for row in COMPLETIONS.read(directory)]
    return Sampled(len(tokens), sum(tokens))


def main() -> None:
    directory = Path(sys.argv[1])
    end_with_parent(lambda: os._exit(1))
    if hasattr(signal, "SIGUSR1"):  # the launcher asks a hung job where it stands; the answer goes to the log
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    from torch.distributed.elastic.multiprocessing.errors import record

    record(_work)(directory)  # torch.distributed.run prints what the first process to fail raised
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; a reward's hung thread must not keep the process


def _work(directory: Path) -> None:
    faulthandler.disable()  # record enables it; its stack of a crash would hide what was printed last
    try:
        ranks.start(Job.read(directory))
        train(directory)
    except HarnessError as error:
        # The launcher shows this sentence instead of the log. The first process to fail knows why.
        if not (directory / "error.txt").is_file():
            write_text(directory / "error.txt", f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
