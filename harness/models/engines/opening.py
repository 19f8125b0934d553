"""Which engine a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.models.engines import Engine
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
        ModelError: the model cannot be loaded, or the engine is not installed.
    """
    if engine == "vllm":
        from harness.models.engines.vllm import VllmEngine

        return VllmEngine(
            source,
            device=device,
            dtype=dtype,
            arguments=arguments,
            chat_template_kwargs=chat_template_kwargs,
        )
    if engine == "continuous":
        from harness.models.engines.continuous import ContinuousEngine

        return ContinuousEngine(policy(), arguments)
    from harness.models.engines.layout import lay_out
    from harness.models.engines.local import TransformersEngine

    loaded = policy()
    lay_out(loaded.model)
    return TransformersEngine(loaded)
