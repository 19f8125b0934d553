"""``python trl_grpo.py FOLDER``: GRPO as a user of TRL alone would write it, with the arguments of ``FOLDER/job.json``.

``FOLDER/metrics.jsonl`` gets a line a logged step, as the harness's job leaves one: TRL's metrics, the step and the
time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from harness.rewards import functions_of
from harness.training.job import Job
from harness.training.trainers import arguments


class Log(TrainerCallback):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": state.global_step, "time": time.time(), **logs}) + "\n")


def trainer(folder: Path) -> Any:
    job = Job.read(folder)
    set_seed(job.seed)
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.model, dtype=job.dtype).to(job.device),
        processing_class=AutoTokenizer.from_pretrained(job.model),
        reward_funcs=[*functions_of(job.rewards).values()],
        args=GRPOConfig(**arguments(job, folder), reward_weights=list(job.rewards.values())),
        train_dataset=Dataset.from_list(job.rows),
        callbacks=[Log(folder / "metrics.jsonl")],
    )


if __name__ == "__main__":
    trainer(Path(sys.argv[1])).train()
