"""A training that nobody did, in the real layout: sampled groups, and metrics that are counted from them."""

from __future__ import annotations

import json
import math
import random
import statistics
from typing import TYPE_CHECKING, Any

from tests.run_files import finding, held_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from made_up_runs import MadeUp

WORDS = ("so", "first", "we", "take", "what", "is", "there", "and", "then", "add", "what", "came", "count", "again")


def write_training(folder: Path, made_up: MadeUp) -> None:
    """Write ``train/``: metrics, completions where the method samples, health and evaluations where asked for."""
    folder.mkdir()
    pick = random.Random(f"{made_up.seed}/train")
    rows: list[dict[str, Any]] = []
    count = 0
    with (folder / "completions.jsonl").open("w", encoding="utf-8") as file:
        for step in range(1, made_up.steps + 1):
            row: dict[str, Any] = {"step": step, "time": 1_790_000_000.0 + step}
            if made_up.method == "grpo":
                sampled = sampled_at(made_up, step)
                file.writelines(json.dumps(line) + "\n" for line in sampled)
                count += len(sampled)
                row |= {"loss": pick.gauss(0, 0.01)} | _grpo(made_up, sampled) | {"entropy": 0.9 - 0.4 * pick.random()}
            else:
                row |= _supervised(made_up, step, pick)
            row |= {"grad_norm": 0.4 + pick.random() * 0.3, "learning_rate": 1e-4 * (1 - step / (made_up.steps + 1))}
            rows.append(row | {"step_time": 0.5})
    _jsonl(folder / "metrics.jsonl", rows)
    if made_up.health is not None:
        _jsonl(folder / "health.jsonl", [finding().to_json() | row for row in made_up.health])
    if made_up.evaluations:
        _jsonl(folder / "evaluations.jsonl", [held_out().to_json() | row for row in made_up.evaluations])
    if made_up.error is not None:
        (folder / "error.txt").write_text(made_up.error, encoding="utf-8")
        return
    summary = {"steps": made_up.steps, "seconds": 0.53 * made_up.steps, "seconds_per_step": 0.53, "resumed_from": None}
    summary |= {"completions": count, "peak_memory_bytes": 900 * 1024 * 1024}
    summary |= {"sampled_tokens": 10 * count, "training_key": "f" * 16}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def completions_of(run: Path) -> list[dict[str, Any]]:
    """The lines that were written about sampled completions."""
    lines = (run / "train" / "completions.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def sampled_at(made_up: MadeUp, step: int) -> list[dict[str, Any]]:
    """The completions of one step with GRPO's advantages: reward against the group's mean over its deviation."""
    low, high = made_up.accuracies
    success = low + (high - low) * step / made_up.steps
    lines = []
    for group in range(made_up.groups):
        number = ((step - 1) * made_up.groups + group) % made_up.train_questions
        question = f"made-up/train/{number}"
        pick = random.Random(f"{made_up.seed}/{step}/{group}")
        text = f"Ada has {number} coins and finds {number + 1} more. How many coins does Ada have now?"
        rewards = [float(pick.random() < success) for _ in range(made_up.group_size)]
        totals = [sum(made_up.functions.values()) * reward for reward in rewards]
        mean = statistics.fmean(totals)
        spread = statistics.stdev(totals) if len(totals) > 1 else 0.0
        for sample, (reward, total) in enumerate(zip(rewards, totals, strict=True)):
            said = 2 * number + 1 if reward else pick.randint(0, 30)
            words = " ".join(pick.choices(WORDS, k=pick.randint(3, 12)))
            finish = "length" if pick.random() < 0.1 else "stop"
            lines.append(
                {
                    "step": step,
                    "group": f"{step}/{question}",
                    "question_id": question,
                    "prompt": [{"role": "system", "content": "Count."}, {"role": "user", "content": text}],
                    "completion": made_up.sampled(question, step, sample) or f"{words}: \\boxed{{{said}}}",
                    "ground_truth": str(2 * number + 1),
                    "status": "correct" if reward else "wrong",
                    "rewards": dict.fromkeys(made_up.functions, reward),
                    "reward": total,
                    "advantage": (total - mean) / (spread + 1e-4),
                    "completion_tokens": 4 + len(words) // 4,
                    "finish_reason": finish,
                }
            )
    return lines


def _grpo(made_up: MadeUp, sampled: Sequence[dict[str, Any]]) -> dict[str, Any]:
    totals = [line["reward"] for line in sampled]
    lengths = [line["completion_tokens"] for line in sampled]
    groups: dict[str, set[float]] = {}
    for line in sampled:
        groups.setdefault(line["group"], set()).add(line["reward"])
    row: dict[str, Any] = {"reward": statistics.fmean(totals), "reward_std": statistics.pstdev(totals)}
    for function in made_up.functions:
        values = [line["rewards"][function] for line in sampled]
        row |= {f"rewards/{function}/mean": statistics.fmean(values), f"rewards/{function}/std": 0.3}
    row["frac_reward_zero_std"] = sum(len(rewards) == 1 for rewards in groups.values()) / len(groups)
    row |= {"completions/mean_length": statistics.fmean(lengths), "completions/min_length": min(lengths)}
    row["completions/max_length"] = max(lengths)
    row["completions/clipped_ratio"] = sum(line["finish_reason"] == "length" for line in sampled) / len(sampled)
    return row


def _supervised(made_up: MadeUp, step: int, pick: random.Random) -> dict[str, Any]:
    done = step / made_up.steps
    row: dict[str, Any] = {"loss": 0.69 * math.exp(-done) + pick.gauss(0, 0.02)}
    if made_up.method == "sft":
        return row | {"mean_token_accuracy": 0.5 + 0.4 * done, "entropy": 1.5 - done}
    row |= {"rewards/chosen": 0.5 * done, "rewards/rejected": -done, "rewards/margins": 1.5 * done}
    row |= {"rewards/accuracies": 0.5 + 0.4 * done, "logps/chosen": -20 - done, "logps/rejected": -20 - 9 * done}
    return row


def _jsonl(path: Path, rows: Iterable[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
