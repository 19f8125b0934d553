"""What a training job is told: plain data, kept as ``job.json`` in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.rewards import Rewards
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json, write_json, write_private
from harness.tasks import Question

if TYPE_CHECKING:
    from harness.models import Policy


@dataclass(frozen=True)
class Job:
    """Everything a training process needs.

    ``rows`` are the dataset, each with a chat ``prompt``: in GRPO with the rewards' columns, in SFT with a
    ``completion``, in DPO with ``chosen`` and ``rejected``. ``lora`` is the recipe's ``[lora]`` and ``base``
    what its adapter's folder says of the model (:func:`harness.models.adapter.base_json`). ``sampled`` says what
    the rows cost before training: completions, tokens and seconds of sampling. ``health`` is the recipe's table.
    ``during`` is the work of the evaluation during training (:mod:`harness.training.during`); ``None`` where it is not
    wanted. ``key`` is the content hash by which other recipes find what is trained. ``sampling`` is the recipe's
    ``[engine] sampling`` and ``launch`` its ``[launch]``. ``shares_weights`` says that no process holds all weights
    (FSDP, ZeRO 3). ``chat_template_kwargs`` is the recipe's, and every prompt is rendered with it.
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
    sampled: dict[str, Any] | None = None
    health: dict[str, Any] = field(default_factory=dict)
    during: dict[str, Any] | None = None
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
        return int(self.launch.get("nproc_per_node", 1)) * int(self.launch.get("nnodes", 1))

    def write(self, directory: Path, *, ended: bool = False) -> None:
        """``job.json``: as it is while the job runs, since the rewards may need a key that a parameter holds, and
        without secrets when it has ``ended``."""
        write = write_json if ended else write_private
        write(directory / "job.json", {**asdict(self), "rewards": self.rewards.table()})

    @classmethod
    def read(cls, directory: Path) -> Job:
        fields = read_json(directory / "job.json")
        if fields is None:
            raise TrainingError(f"{directory / 'job.json'}: missing or torn; start the run again")
        return cls(**{**fields, "rewards": Rewards.from_table(fields["rewards"])})


def as_question(row: Mapping[str, Any]) -> Question:
    """The question of a row of :attr:`Job.rows`."""
    return Question(row["question_id"], row["question"], row["ground_truth"], "train", prompt=tuple(row["prompt"]))
