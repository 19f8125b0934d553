"""A training job: what it is told (``job.json``) and the files it leaves, for whoever reads them without torch."""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.rewards import Rewards
from harness.store.errors import TrainingError, WriteError
from harness.store.run_directory import PRIVATE, all_locked, read_json, write_json, write_private
from harness.store.run_files import PROGRESS, Doing, Progress, Sampled
from harness.tasks import Question

if TYPE_CHECKING:
    from harness.models import Policy

_EVERY_SECONDS = 0.5  # the activity is written


@dataclass(frozen=True)
class Job:
    """Everything a training process needs.

    ``rows`` are the dataset, each with a chat ``prompt``: in GRPO with the rewards' columns, in SFT with a
    ``completion``, in DPO with ``chosen`` and ``rejected``; ``columns`` are those of a question's row. ``sampled`` says
    what they cost before training: completions, tokens and seconds of sampling. ``lora``, ``health``, ``launch`` and
    ``chat_template_kwargs`` are the recipe's, ``sampling`` its ``[engine] sampling``, and ``base`` what an adapter's
    folder says of its model (:func:`harness.models.source.base_json`). ``held_out`` is the work of the evaluation
    during training (:mod:`harness.training.held_out`), if it is wanted. ``key`` is the content hash by which other
    recipes find what is trained. ``shares_weights``: no process holds all weights (FSDP, ZeRO 3).
    """

    method: str
    model: str
    device: str
    dtype: str
    seed: int
    rewards: Rewards
    arguments: dict[str, Any]
    rows: list[dict[str, Any]]
    lora: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    sampled: Sampled = field(default_factory=Sampled)
    health: dict[str, Any] = field(default_factory=dict)
    held_out: dict[str, Any] | None = None
    key: str = ""
    sampling: str = "shared"
    launch: dict[str, Any] = field(default_factory=dict)
    shares_weights: bool = False
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)

    def load(self, model: str | None = None) -> Policy:
        """What is trained, or another ``model`` folder of this job's, as plain weights: also where it is an adapter."""
        from harness.models import load_policy

        asked = self.chat_template_kwargs
        return load_policy(
            model or self.model, device=self.device, dtype=self.dtype, chat_template_kwargs=asked
        ).merged()

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return int(self.launch.get("nproc_per_node", 1))

    def write(self, directory: Path) -> None:
        """``job.json`` as it is while the job runs: the rewards may need a key that a parameter holds."""
        write_private(directory / "job.json", self._fields())

    def end(self, directory: Path) -> None:
        """``job.json`` of a job that has ended, without secrets; where the disk is full, none."""
        try:
            write_json(directory / "job.json", self._fields())
        except WriteError:
            (directory / "job.json").unlink(missing_ok=True)

    def _fields(self) -> dict[str, Any]:
        rewards = {"rewards": self.rewards.table(), "rewards_folder": self.rewards.folder}
        return {**asdict(self), **rewards}

    @classmethod
    def read(cls, directory: Path) -> Job:
        fields = read_json(directory / "job.json")
        if fields is None:
            raise TrainingError(f"{directory / 'job.json'}: missing or torn; start the run again")
        rewards = Rewards.from_table(fields["rewards"], folder=fields.pop("rewards_folder", None))
        typed = {"rewards": rewards, "sampled": Sampled(**fields["sampled"])}
        return cls(**{**fields, **typed})


def tidy(directory: Path) -> None:
    """Leave no secret in the ``job.json`` of a session that was killed: nobody else could take it out."""
    path = directory / "job.json"
    try:
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE:
            return
    except OSError:
        return
    with all_locked(directory) as idle:
        if idle and (left := read_json(path)) is not None:
            write_json(path, left)
        elif idle:
            path.unlink()


def as_question(row: Mapping[str, Any]) -> Question:
    """The question of a row of :attr:`Job.rows`."""
    prompt, columns = tuple(row["prompt"]), row.get("columns", {})
    return Question(row["question_id"], row["question"], row["ground_truth"], "train", prompt=prompt, columns=columns)


def report_activity(directory: Path, doing: Doing = "", parts: int = 0, of: int = 0) -> None:
    """Say in ``progress.json`` what the job is at within a step or between two; at most twice a second until all parts
    are done. It is also what tells that the job lives."""
    with suppress(OSError):
        if parts < of and time.time() - PROGRESS.path(directory).stat().st_mtime < _EVERY_SECONDS:
            return
    known = PROGRESS.read(directory) or Progress()
    PROGRESS.write(directory, replace(known, doing=doing, parts=parts, of=of), durable=False)
