"""The tables of a recipe, a class each; ``Recipe`` holds them under their names.

A new table ``[word]`` is a class ``WordSection`` here, in the order of a recipe, and a field ``word`` of the recipe;
``[task]`` is with the tasks.
What its keys may not say together belongs in :mod:`harness.recipe.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.store.records import SamplingParams
from harness.store.table import Positive, Share, Table


def gathered(section: type[Table], table: Any, rest: str) -> Any:
    """A table as it stands in a file, with the keys that ``section`` does not know put under ``rest``."""
    if not isinstance(table, dict):
        return table
    if isinstance(table.get(rest), Mapping) and table.keys() <= section.model_fields.keys():
        return table  # built in Python
    own = {key: value for key, value in table.items() if key in section.model_fields and key != rest}
    return {**own, rest: {key: value for key, value in table.items() if key not in own}}


def _batch_size(given: Any) -> Any:
    if given != "auto" and not (type(given) is int and given >= 1):
        raise PydanticCustomError("batch_size", 'must be a whole number of 1 or more, or "auto"')
    return given


class ModelSection(Table):
    """``[model]``: ``"tiny"`` (embedded), a Hub id, a local folder or a ``.gguf`` file.

    ``from_recipe`` starts from what another recipe trained with the same seed instead; ``name`` may then be left out.
    ``endpoint`` is the address of an OpenAI-compatible server that answers instead; ``name`` is then the served model's
    id, and may be left out where one is served. What is served can be evaluated and not trained.
    ``chat_template_kwargs`` is handed to the chat template in every stage, by every engine.
    """

    from_recipe: str | None = None
    endpoint: str | None = None
    name: str = Field(default="", validate_default=True)
    revision: str = "main"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chat_template_kwargs: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _say_which(cls, name: str, info: ValidationInfo) -> str:
        if not name and info.data.get("from_recipe") is None and info.data.get("endpoint") is None:
            raise PydanticCustomError("missing", "no model is named")
        return name


class TrainSection(Table):
    """``[train]``: the method; every other key goes to TRL's config of that method unchanged."""

    method: Literal["grpo", "sft", "dpo"] = "grpo"
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, table: Any) -> Any:
        return gathered(cls, table, "arguments")


class DataSection(Table):
    """``[data]``: what SFT and DPO learn from.

    ``source`` is ``"completions"`` (the policy's own graded answers to the training questions), ``"solutions"`` (the
    task's worked ones, SFT only) or the path of a ``.jsonl`` file; see :mod:`harness.training.given`. All other keys
    are about completions: the answers sampled a question, at most ``per_question`` examples (SFT: different correct
    answers; DPO: pairs of a correct and a wrong one) made of them, and how they are sampled. ``max_new_tokens`` is
    that of ``[evaluate]`` unless given.
    """

    source: str = "completions"
    samples_per_question: Positive = 8
    per_question: Positive = 4
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Positive | None = None


class LoraSection(Table):
    """``[lora]``: train low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft instead of all weights.

    ``alpha / r`` scales the adapter. ``target_modules`` is ``"all-linear"`` (all but the output layer) or a list of
    module names. ``merge`` saves the final policy as plain weights; without it, as an adapter beside its base's name.
    """

    r: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[
        list[str], Field(min_length=1), BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
    ] = ["all-linear"]
    merge: bool = True


class EvaluateSection(Table):
    """``[evaluate]``: how answers are sampled (``SamplingParams``), and what is asked during training."""

    max_new_tokens: Positive = 512
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    samples_per_question: Positive = 1
    seed: int = 0
    batch_size: Annotated[int | str, BeforeValidator(_batch_size)] = "auto"
    # During training: see harness.training.during.
    every_steps: Positive | None = None
    during_questions: Positive = 64
    keep_best: bool = False

    @property
    def sampling(self) -> SamplingParams:
        """What engines are told of it."""
        return SamplingParams(**self.model_dump(exclude={"every_steps", "during_questions", "keep_best"}))


class EngineSection(Table):
    """``[engine]``: what answers questions; see :mod:`harness.models.engines`. Every other key goes to that engine.

    ``sampling`` is who samples in GRPO: ``"shared"`` computes a group's prompt once, as the default engine does
    (:mod:`harness.training.sampling`); ``"trl"`` leaves it to the trainer.
    """

    name: Literal["transformers", "continuous", "vllm"] = "transformers"
    sampling: Literal["shared", "trl"] = "shared"
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, table: Any) -> Any:
        return gathered(cls, table, "arguments")


class HealthSection(Table):
    """``[health]``: see :mod:`harness.gate.health` and :mod:`harness.gate.signal`.

    A check's name with a number sets its limit, with ``false`` switches it off; ``signal`` is one of them: the share of
    groups with a gradient under which nothing is trained, as found on ``signal_questions`` training questions (four
    times as many before it refuses). Findings of checks in ``stop_on`` end the training. A job that shows no progress
    for ``stall_seconds`` at the least is ended.
    """

    stop_on: list[str] = []
    signal_questions: Positive = 16
    stall_seconds: Annotated[float, Field(gt=0)] = 600.0
    limits: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_limits(cls, table: Any) -> Any:
        return gathered(cls, table, "limits")

    @property
    def signal(self) -> float | None:
        """The signal check's limit; ``None`` where it is switched off."""
        limit = self.limits.get("signal", 0.05)
        return None if limit is False else float(limit)


class LaunchSection(Table):
    """``[launch]``: the processes that train and answer together, in the words of ``torch.distributed.run``.

    ``nproc_per_node`` processes on each of ``nnodes`` machines train; an evaluation is shared out among those of the
    machine that it runs on. ``prefix`` is put before the command that starts a machine's processes and has to start it
    on every machine, as ``["srun", "--nodes=2", "--ntasks-per-node=1"]`` does; without one, ``rl-harness join`` does so
    on the others. ``rdzv_endpoint`` (``host:port``) is where machines find each other: this machine and a free port
    unless given. When a process dies, all are started again from the last checkpoint, at most ``max_restarts`` times:
    once unless said otherwise, since a crash that comes back is no accident.
    """

    nproc_per_node: Positive = 1
    nnodes: Positive = 1
    rdzv_backend: Literal["c10d", "etcd-v2"] = "c10d"
    rdzv_endpoint: str | None = None
    rdzv_id: str | None = None
    prefix: list[str] = []
    max_restarts: Annotated[int, Field(ge=0)] = 1

    @property
    def processes(self) -> int:
        """All processes that train together."""
        return self.nproc_per_node * self.nnodes


class GateSection(Table):
    """``[gate]``: what is asked of the trained policy; see :mod:`harness.gate`. Shares, not percent."""

    min_accuracy: Share | None = None
    min_improvement: Share | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = 0.05
    stop_early: bool = False
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.80
