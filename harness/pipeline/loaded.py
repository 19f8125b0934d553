"""The one model that a run holds in memory, and the engine that answers with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from harness.models.device import choose_dtype, release_memory
from harness.models.served import open_endpoint, refusal
from harness.models.threads import settle_threads
from harness.store.errors import ModelError

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.models.engines import Engine
    from harness.models.source import ModelSource
    from harness.recipe import Recipe


class Loaded:
    """Opens what it is asked for and lets go of what it held before. ``say`` hears of processes that died."""

    def __init__(self, recipe: Recipe, say: Callable[[str], None]) -> None:
        self._recipe, self._say = recipe, say
        self._policy: tuple[str, Policy] | None = None
        self._engine: tuple[str, Engine] | None = None

    def policy(self, source: ModelSource, device: str) -> Policy:
        """The model itself, here.

        Raises:
            ModelError: it cannot be loaded, or a server has it.
        """
        if source.kind == "endpoint":
            raise ModelError(refusal(self._recipe))
        settle_threads()
        from harness.models import load_policy

        if not self._holds(source):
            self.release()
            asked = self._recipe.model
            loaded = load_policy(
                source, device=device, dtype=asked.dtype, chat_template_kwargs=asked.chat_template_kwargs
            )
            self._policy = str(source.path), loaded
            if unused := loaded.unused_kwargs:
                self._say(
                    f"[model] chat_template_kwargs: the chat template of {loaded.name} does not use {', '.join(unused)}"
                )
        assert self._policy is not None
        return self._policy[1]

    def engine(self, source: ModelSource, device: str) -> Engine:
        """What answers with the model, as the recipe's ``[engine]`` and ``[launch]`` say.

        Raises:
            ModelError: the model cannot be loaded, or its engine not be opened.
            TrainingError: fewer GPUs are visible than ``[launch]`` has processes.
        """
        settle_threads()
        if not self.answers(source):
            if not (self.holds_scores(source) and self._holds(source)):  # else the engine answers with what is here
                self.release()
            self._engine = str(source.path), self._opened(source, device)
        assert self._engine is not None
        return self._engine[1]

    def answers(self, source: ModelSource) -> bool:
        """Whether the engine of this model is open."""
        return self._engine is not None and self._engine[0] == str(source.path)

    def holds_scores(self, source: ModelSource) -> bool:
        """Whether the model is in this process, where its scores can be looked at; else it is with a server, in vLLM,
        or in other processes, on the GPUs that it fills."""
        here = self._recipe.launch.nproc_per_node == 1
        return here and source.kind != "endpoint" and self._recipe.engine.name != "vllm"

    def _holds(self, source: ModelSource) -> bool:
        return self._policy is not None and self._policy[0] == str(source.path)

    def release(self) -> None:
        """Let go of the model and its memory."""
        engine, policy = self._engine, self._policy
        self._engine = self._policy = None
        if engine is not None:
            engine[1].close()
        elif policy is not None:  # collecting garbage costs a twentieth of a second
            del policy
            release_memory()

    def _opened(self, source: ModelSource, device: str) -> Engine:
        from harness.models.engines.opening import open_engine
        from harness.models.engines.shards import open_shards

        if source.kind == "endpoint":
            return open_endpoint(self._recipe)
        dtype = choose_dtype(self._recipe.model.dtype, device)
        if self._recipe.launch.nproc_per_node > 1:
            return open_shards(self._recipe, source, device=device, dtype=dtype, say=self._say)
        load = partial(self.policy, source, device)
        return open_engine(
            self._recipe.engine,
            load,
            source,
            device=device,
            dtype=dtype,
            chat_template_kwargs=self._recipe.model.chat_template_kwargs,
        )
