"""Engines: what answers questions with a model. All give the same records; they differ in speed and in where they run.

    engine = open_engine("transformers", {}, lambda: load_policy("tiny"), source, device="cpu", dtype="auto")
    for answers in engine.answer(questions.test, SamplingParams()):
        print(answers[0].completion)

====================  ====================================================================================
``transformers``      the default: torch in this process, finished answers leave the batch and others enter
``vllm``              vLLM in this process
``endpoint``          any OpenAI-compatible server; chosen by ``[model] endpoint`` or ``--rl-endpoint``
====================  ====================================================================================

Importing this package brings neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.store.errors import ModelError

if TYPE_CHECKING:
    from harness.models.engines.base import Engine
    from harness.models.policy import Policy
    from harness.models.source import ModelSource


def open_engine(
    engine: str,
    arguments: Mapping[str, Any],
    policy: Callable[[], Policy],
    source: ModelSource,
    *,
    device: str,
    dtype: str,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Engine:
    """The engine of that name with its own arguments; ``policy`` loads the model ``source``, where the engine wants it
    loaded by us, and else ``chat_template_kwargs`` says how its prompts are rendered.

    Raises:
        ModelError: the model cannot be loaded, or the engine is not installed, or there is none of that name.
    """
    if engine == "vllm":
        from harness.models.engines.vllm import VllmEngine

        told = chat_template_kwargs
        return VllmEngine(source, device=device, dtype=dtype, arguments=arguments, chat_template_kwargs=told)
    if engine != "transformers":
        raise ModelError(f"engine {engine!r} is not known; write transformers or vllm")
    from harness.models.engines.local import TransformersEngine

    return TransformersEngine(policy())
