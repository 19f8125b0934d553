"""``python sampling.py NAME FOLDER``: samples completions as GRPO's trainer does before each step.

``FOLDER/job.json`` is the training job. An order is ``{"rows": [0, 1], "seed": 7}``, the answer ``{"seconds": 1.5,
"prompts": [[ids]], "completions": [[ids]]}``, every prompt as often as the job samples it. Both contestants are
trainers, asked through the method that each calls in training: TRL's own, and this project's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contestant import serve


def trl(folder: Path) -> Any:
    """TRL's trainer: ``model.generate`` over every prompt as often as it is answered, padded on the left."""
    from trl_grpo import trainer

    return trainer(folder)


def rl_harness(folder: Path) -> Any:
    from harness.training.job import Job
    from harness.training.trainers import build

    job = Job.read(folder)
    return build(job, job.load(), folder)


def note_log_probabilities(noted: dict[int, list[float]]) -> None:
    """From now on this project's sampler leaves each drawn token's log-probability in ``noted``, by completion."""
    from harness.training import rollout

    class Noted(rollout.Drawn):
        def __call__(self, scores: Any, rows: Sequence[int]) -> Any:
            tokens = super().__call__(scores, rows)
            drawn = scores.float().log_softmax(dim=-1).gather(1, tokens[:, None]).squeeze(1)
            for row, value in zip(rows, drawn.tolist(), strict=True):
                noted.setdefault(row, []).append(value)
            return tokens

    rollout.Drawn = Noted


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])

    def make() -> Callable[..., Any]:
        from transformers import set_seed

        trainer = {"TRL": trl, "rl-harness": rl_harness}[name](folder)
        trainer.model.train()
        noted: dict[int, list[float]] = {}

        def carry_out(rows: Sequence[int], seed: int, note: bool = False) -> dict[str, Any]:
            if note:
                noted.clear()
                note_log_probabilities(noted)
            set_seed(seed)
            each = trainer.num_generations
            chats = [trainer.train_dataset[row]["prompt"] for row in rows for _ in range(each)]
            prompts, _, _ = trainer._tokenize_prompts(chats)
            started = time.perf_counter()
            completions, _ = trainer._generate_single_turn(prompts, None, {}, each)
            seconds = time.perf_counter() - started
            values = [noted[place] for place in range(len(completions))] if note else None
            return {"seconds": seconds, "prompts": prompts, "completions": completions, "log_probabilities": values}

        return carry_out

    serve(make)


if __name__ == "__main__":
    main()
