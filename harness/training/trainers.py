"""TRL's trainers for a job: GRPO (Shao et al. 2024, arXiv:2402.03300), SFT with the loss on the answers alone, and DPO
(Rafailov et al. 2023, arXiv:2305.18290).

GRPO's completions are all kept (:mod:`harness.training.callbacks`), and sampled with each prompt computed once
(:mod:`harness.training.rollout`). SFT and DPO are given rows in tokens, as the policy itself is asked and answers:
TRL's chat rendering may differ from generation's.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.extras.profiling import profiling_context

from harness.models.policy import RefusedChatError
from harness.recipe.trl_arguments import argument_defaults, optimizer_steps, steps_per_batch, supervised_steps
from harness.store.errors import TrainingError
from harness.tasks.forms import CLOSING, OPENING
from harness.training import ranks
from harness.training.callbacks import CompletionLog, HealthMonitor, MetricsLog
from harness.training.held_out import HeldOutEvaluation
from harness.training.job import Job, report_activity
from harness.training.rollout import can_sample, sample, why_slow

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.tasks import Message

_PROBE = "An answer."


def build(job: Job, policy: Policy, directory: Path) -> Any:
    """A trainer of the job's method that is ready to ``train()``; checkpoints and logs go to ``directory``.

    Raises:
        TrainingError: an example is longer than the model can hold.
    """
    return {"grpo": _grpo, "sft": _sft, "dpo": _dpo}[job.method](job, policy, directory)


class GRPO(GRPOTrainer):  # type: ignore[misc]
    """Keeps every completion. ``slow`` says why ``model.generate`` had to sample, where it had to."""

    completion_log: CompletionLog
    weights: Mapping[str, float]
    shares_prompts = False
    slow: str | None = None

    def _generate_single_turn(self, prompt_ids: Any, *others: Any, **more: Any) -> Any:
        if self.shares_prompts:
            why = why_slow(self, prompt_ids)
            if why is None:
                with profiling_context(self, "sample"):
                    return sample(self, prompt_ids, self._sampled), None
            self.slow = why
        return super()._generate_single_turn(prompt_ids, *others, **more)

    def _sampled(self, done: int, of: int) -> None:
        if ranks.is_main() and self.model.training:
            report_activity(Path(self.args.output_dir), "sampling", done, of)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            step = self.state.global_step + 1
            self.completion_log.write(step, output["advantages"].flatten().tolist(), self.weights)
        return output


def _grpo(job: Job, policy: Policy, directory: Path) -> GRPOTrainer:
    columns = {row["question_id"]: row["columns"] for row in job.rows if "columns" in row}
    log = CompletionLog(directory, policy, job.rewards, columns)
    reference = _reference(job, policy, directory)
    trainer = GRPO(
        reward_funcs=[log.wrap(name) for name in job.rewards],
        args=GRPOConfig(
            **arguments(job, directory, chat_template_kwargs=dict(policy.chat_template_kwargs)),
            reward_weights=list(job.rewards.values()),
        ),
        train_dataset=Dataset.from_list(
            [
                {key: value for key, value in row.items() if key != "columns"} | {"prompt": policy.adapt(row["prompt"])}
                for row in job.rows
            ]
        ),
        **_common(job, policy, directory),
    )
    if reference is not None:
        ranks.gathered(None)
        shutil.rmtree(reference, ignore_errors=True)  # every process has loaded it
    trainer.completion_log, trainer.weights = log, job.rewards
    trainer.shares_prompts = job.sampling == "shared" and can_sample(trainer)
    return trainer


def _reference(job: Job, policy: Policy, directory: Path) -> Path | None:
    """With ``beta`` above 0 TRL loads the reference from where the model's config says that it came from. That is not
    this policy where an adapter was merged into it, or a GGUF file unpacked: then it is written out for TRL."""
    kind = policy.source.kind if policy.source else None
    if not job.arguments.get("beta") or job.lora is not None or kind not in ("adapter", "gguf"):
        return None
    folder = directory / "reference"
    ranks.from_main(lambda: policy.save(folder))
    policy.model.config._name_or_path = str(folder)
    return folder


def _sft(job: Job, policy: Policy, directory: Path) -> SFTTrainer:
    end, rows = _end_token(policy), []
    for row in job.rows:
        prompt = policy.encode(row["prompt"])
        answer = answer_tokens(policy, row["prompt"], row["completion"][-1]["content"], end)
        rows.append({"input_ids": prompt + answer, "completion_mask": [0] * len(prompt) + [1] * len(answer)})
    _check_lengths(policy, [len(row["input_ids"]) for row in rows])
    return SFTTrainer(  # it takes ``input_ids`` as they are, and makes labels of those that ``completion_mask`` marks
        args=SFTConfig(**arguments(job, directory, completion_only_loss=True, max_length=None)),
        train_dataset=Dataset.from_list(rows),
        **_common(job, policy, directory),
    )


class _DPO(DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def _dpo(job: Job, policy: Policy, directory: Path) -> DPOTrainer:
    """The reference is the policy as it is now. With an adapter, TRL asks the model without it."""
    end, rows = _end_token(policy), []
    for row in job.rows:
        cut = row.get("rejected_finish_reason") == "length"  # it was never ended, so there is no end to learn from
        chosen, rejected = (row[key][-1]["content"] for key in ("chosen", "rejected"))
        rows.append(
            {
                "prompt_ids": policy.encode(row["prompt"]),
                "chosen_ids": answer_tokens(policy, row["prompt"], chosen, end),
                "rejected_ids": answer_tokens(policy, row["prompt"], rejected, None if cut else end),
            }
        )
    longest = [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
    _check_lengths(policy, longest)
    return _DPO(
        ref_model=None if job.lora else copy.deepcopy(policy.model),  # TRL would look for it where the policy came from
        args=DPOConfig(**arguments(job, directory, max_length=None)),
        train_dataset=Dataset.from_list(rows),
        **_common(job, policy, directory),
    )


def _common(job: Job, policy: Policy, directory: Path) -> dict[str, Any]:
    """What every trainer is given. The callbacks act in their order: a step's line is logged, its evaluation made, its
    health looked at."""
    held_out = [HeldOutEvaluation(job, policy, directory)] if job.held_out is not None else []
    callbacks: list[TrainerCallback] = [MetricsLog(directory), *held_out, HealthMonitor(job, directory)]
    return {
        "model": policy.model,
        "processing_class": policy.tokenizer,
        "callbacks": callbacks,
        "peft_config": _adapter(job),
    }


def _adapter(job: Job) -> Any:
    """peft's ``LoraConfig`` (Hu et al. 2021, arXiv:2106.09685), or ``None`` where all weights are trained."""
    if job.lora is None:
        return None
    from peft import LoraConfig

    modules = job.lora["target_modules"]
    return LoraConfig(
        r=job.lora["r"],
        lora_alpha=job.lora["alpha"],
        lora_dropout=job.lora["dropout"],
        target_modules=modules[0] if len(modules) == 1 else modules,  # "all-linear" is a word, not a module
        task_type="CAUSAL_LM",
    )


def arguments(job: Job, directory: Path, **defaults: Any) -> dict[str, Any]:
    """The recipe's keys as they are, over ``defaults`` and those that make a job resumable and fit the device."""
    defaults |= {
        "logging_steps": 1,  # health checks look at logged steps, and TRL would log every tenth
        "save_strategy": "steps",
        "save_steps": _a_quarter(job),
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if job.device == "cpu":  # a GPU's defaults raise there
        defaults |= {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return {
        **defaults,
        # A token would stand in every checkpoint's training_args.bin; HF_TOKEN in the environment logs in as well.
        **{key: value for key, value in job.arguments.items() if key != "hub_token"},
        "output_dir": str(directory),
        "seed": job.seed,
        "data_seed": job.seed,
    }


def checkpoint_period(job: Job) -> int:
    """A job can be resumed at steps that are multiples of this: in GRPO where a generation batch is used up, since a
    resumed job starts a new one; anywhere else in SFT and DPO, which sample nothing while they train."""
    return steps_per_batch(_all(job), job.processes) if job.method == "grpo" else 1


def _a_quarter(job: Job) -> int | float:
    """About a quarter of all steps, where the job can be resumed."""
    if job.method != "grpo":
        if job.arguments.get("packing"):
            return 0.25  # how many rows there will be only the trainer knows
        return max(1, round(supervised_steps(_all(job), len(job.rows), job.processes) / 4))
    period = checkpoint_period(job)
    return period * max(1, round(optimizer_steps(_all(job), len(job.rows), job.processes) / 4 / period))


def _all(job: Job) -> dict[str, Any]:
    return {**argument_defaults(job.method), **job.arguments}


def _end_token(policy: Policy) -> int:
    """The token that ends an answer: the one that the chat template writes after it, if generation stops there, and
    else the tokenizer's own end."""
    try:
        text = policy.render(
            [{"role": "user", "content": "A question?"}, {"role": "assistant", "content": _PROBE}], answered=True
        )
    except RefusedChatError:
        text = ""
    _, answered, rest = text.rpartition(_PROBE)
    if answered and rest:
        first = policy.tokenizer(rest, add_special_tokens=False)["input_ids"][0]
        if first in policy.eos_token_ids:
            return int(first)
    own = policy.tokenizer.eos_token_id
    return int(own) if own is not None else min(policy.eos_token_ids)


def answer_tokens(policy: Policy, prompt: Sequence[Message], text: str, end: int | None) -> list[int]:
    """The token ids of an answer behind the prompt of a chat, ended by ``end`` (``None``: it goes on)."""
    if opened := policy.opened_thought(prompt):
        text = _goes_on(text, opened)
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids if end is None else [*ids, end]


def _goes_on(text: str, opened: str) -> str:
    """An answer as it goes on behind the ``<think>`` that the prompt has: without its own, and one without a thought
    behind an empty one, since in the thought it would be none."""
    if text.startswith(OPENING):
        return text.removeprefix(opened) if text.startswith(opened) else text.removeprefix(OPENING).lstrip()
    return text if CLOSING in text else f"{CLOSING}\n\n{text}"


def _check_lengths(policy: Policy, lengths: Sequence[int]) -> None:
    """Raise ``TrainingError`` where a row has more tokens than the model can hold."""
    limit, longest = policy.context_length, max(lengths)
    if limit is not None and longest > limit:
        row = lengths.index(longest) + 1
        raise TrainingError(
            f"line {row} of train/data.jsonl has {longest} tokens and {policy.name} can hold {limit}; "
            "leave it out, or make it shorter"
        )
