"""The training process: ``python -m harness.training.worker <train directory>``. It reads ``job.json`` there."""

from __future__ import annotations

import faulthandler
import importlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.processes import end_with_parent
from harness.store.errors import HarnessError
from harness.store.run_directory import read_json, read_lines, write_json, write_text
from harness.training.config import checkpoint_period
from harness.training.files import report_activity
from harness.training.spec import Job, as_question

if TYPE_CHECKING:
    from harness.models import Policy


@dataclass(frozen=True)
class _Start:
    """Where a job begins: its last whole checkpoint with that one's step, and whether that was the last step."""

    checkpoint: str | None
    step: int | None
    finished: bool


def train(directory: Path) -> None:
    """Run the job of a train directory from its last whole checkpoint on, and save the policy to ``final/``.

    In a job of several processes each of them calls this; the main one alone writes, and the others wait for it.
    """
    from transformers import set_seed

    from harness.models.device import peak_memory
    from harness.training import ranks
    from harness.training.lora import load_adapter
    from harness.training.monitor import stopped_by

    job = Job.read(directory)
    ranks.start(job)
    restarts = max(ranks.gathered(_restarts()) or [0])
    start = ranks.from_main(lambda: _prepare(job, directory, restarts))
    set_seed(job.seed)
    started, trainer = time.monotonic(), None
    whole = start.finished and job.lora is None
    policy = job.load(str(start.checkpoint) if whole else None)
    if start.finished:
        steps = start.step or 0
        if job.lora is not None:
            load_adapter(policy, Path(str(start.checkpoint)))
    else:
        trainer = importlib.import_module(f"harness.training.{job.method}").build(job, policy, directory)
        ranks.from_main(lambda: report_activity(directory, f"step {(start.step or 0) + 1}"))
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=start.checkpoint)
        policy.model, steps = trainer.model, trainer.state.global_step
    seconds = time.monotonic() - started
    if trainer is not None and job.shares_weights:
        trainer.save_model(str(directory / ".whole"))  # every process gives its part
    memory = ranks.gathered(peak_memory(job.device))
    ranks.from_main(lambda: _save(job, policy, directory, steps))
    if memory is not None:
        from harness.training.during import selection

        write_json(
            directory / "summary.json",
            {
                "steps": steps,
                "resumed_from": start.step,
                "seconds": seconds,
                "seconds_per_step": seconds / max(1, steps - (start.step or 0)),
                **_cost(job, directory),
                "peak_memory_bytes": max(memory),
                "slow": getattr(trainer, "slow", None),
                "stopped": stopped_by(job, directory),
                "selected": selection(job, directory, steps),
                "training_key": job.key,
                **({"processes": job.processes, "restarts": restarts} if job.processes > 1 else {}),
            },
        )
        for kept in (*directory.glob("best-*"), directory / ".whole"):
            shutil.rmtree(kept, ignore_errors=True)
    ranks.wait()


def _prepare(job: Job, directory: Path, restarts: int) -> _Start:
    """Make the directory one that a job can begin or go on in. ``restarts``: how often it was started again by now."""
    from transformers.trainer_utils import get_last_checkpoint

    from harness.training.capture import forget_after
    from harness.training.monitor import note_restart, stopped_by

    shutil.rmtree(directory / ".whole", ignore_errors=True)
    _drop_unusable_checkpoints(directory, checkpoint_period(job), job.processes)
    checkpoint = get_last_checkpoint(str(directory))
    state = read_json(Path(checkpoint) / "trainer_state.json") if checkpoint else None
    step = int(state["global_step"]) if state else None
    forget_after(directory, step or 0)
    if restarts:
        report_activity(directory, f"started again from step {step or 0}")
        note_restart(job, directory, step or 0, restarts)
    if job.method == "grpo":
        _try_rewards(job)
    finished = state is not None and (  # killed while the final policy was being saved
        state["global_step"] >= state["max_steps"] or stopped_by(job, directory) is not None
    )
    return _Start(checkpoint, step, finished)


def _restarts() -> int:
    """How often this machine's agent has started its processes again because one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _save(job: Job, policy: Policy, directory: Path, steps: int) -> None:
    """Put the trained policy, or the one that was selected, into ``final/``."""
    from harness.training.during import selection
    from harness.training.lora import load_adapter, save_final

    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)  # without a summary it is what a kill left
    selected = selection(job, directory, steps)
    best = None if selected is None else directory / f"best-{selected['step']}"
    parts = directory / ".whole" if (directory / ".whole").is_dir() else None
    adapter = (best or parts) if job.lora is not None else None
    if adapter is not None:
        policy = job.load()
        load_adapter(policy, adapter)
    if job.lora is not None or (best or parts) is None:
        save_final(job, policy, unfinished)
    else:
        shutil.copytree(str(best or parts), unfinished)
    unfinished.rename(final)
    (directory / "README.md").unlink(missing_ok=True)  # the trainer's model card knows nothing of the model


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
    from harness.rewards import RewardCalls
    from harness.rewards.grading import grade
    from harness.store.errors import RewardError
    from harness.store.records import Generation

    calls = RewardCalls(job.rewards)
    question = as_question(job.rows[0])
    tried = [Generation(question.id, sample, job.seed, question.prompt, "", "stop", 0, 0) for sample in range(2)]
    grade(tried, {question.id: question}, job.rewards, calls)
    for name in calls.faults.reasons:
        if calls.faults.share(name) >= 1:
            (reason, *_) = calls.faults.reasons[name]
            raise RewardError(f'reward function "{name}" {reason}')


def _drop_unusable_checkpoints(directory: Path, period: int, processes: int) -> None:
    """Drop checkpoints that a kill tore (``trainer_state.json`` is written last, but for the random states of other
    processes) or that lie within a generation batch: the trainer would sample that batch's questions again."""
    for checkpoint in directory.glob("checkpoint-*"):
        state = read_json(checkpoint / "trainer_state.json")
        torn = processes > 1 and len(list(checkpoint.glob("rng_state_*.pth"))) < processes
        if state is None or torn or (state["global_step"] % period and state["global_step"] < state["max_steps"]):
            shutil.rmtree(checkpoint)


def main() -> None:
    directory = Path(sys.argv[1])
    end_with_parent(lambda: os._exit(1))
    if hasattr(signal, "SIGUSR1"):  # the launcher asks a hung job where it stands; the answer goes to the log
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    explained = directory / "error.txt"
    if explained.is_file():  # what cannot work is not tried again by an agent that starts us a second time
        raise SystemExit(2)
    try:
        train(directory)
    except HarnessError as error:
        # The parent shows this sentence instead of the log. The first process to fail knows why.
        if not explained.is_file():
            write_text(explained, f"{error}\n")
        raise SystemExit(2) from None
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; a reward's hung thread must not keep the process


if __name__ == "__main__":
    main()
