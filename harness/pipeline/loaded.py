"""The one model that a run holds in memory, and the engine that answers with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.models.device import choose_dtype, release_memory, settle_threads
from harness.models.engines.base import server_url
from harness.recipe.launching import local_processes
from harness.recipe.needs import check_key
from harness.store.errors import ModelError

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.models.engines.base import Engine
    from harness.models.engines.endpoint import EndpointEngine
    from harness.models.source import ModelSource
    from harness.recipe import Recipe


def refusal(recipe: Recipe) -> str:
    """What to say where weights are needed."""
    return (
        f"recipe {recipe.name}: what {server_url(str(recipe.model.endpoint))} serves cannot be trained or loaded here, "
        "only asked; evaluate it with suites/test_evaluation.py"
    )


def open_endpoint(recipe: Recipe) -> EndpointEngine:
    """The engine of such a recipe; keys of ``[engine]`` are its settings.

    Raises:
        ModelError: the server cannot be reached, refuses the key, or does not serve one model where none is named.
        RecipeError: it would be sent a key that the user did not agree to.
    """
    check_key(recipe)
    from harness.models.engines.endpoint import EndpointEngine

    url = server_url(str(recipe.model.endpoint))
    return EndpointEngine(
        url,
        recipe.model.name or None,
        chat_template_kwargs=recipe.model.chat_template_kwargs,
        **recipe.engine.arguments,
    )


class Loaded:
    """Opens what it is asked for and lets go of what it held before. ``say`` hears of template keys without use."""

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
        engine, loaded = self._engine, self._policy is not None
        self._engine = self._policy = None  # nothing here may hold the model while its memory is given back
        if engine is not None:
            engine[1].close()
        elif loaded:  # collecting garbage costs a twentieth of a second
            release_memory()

    def _opened(self, source: ModelSource, device: str) -> Engine:
        from harness.models.engines import open_engine
        from harness.models.engines.shards import Shards

        recipe = self._recipe
        if source.kind == "endpoint":
            return open_endpoint(recipe)
        dtype, processes = choose_dtype(recipe.model.dtype, device), local_processes(recipe.launch, device)
        how = (recipe.engine.name, recipe.engine.arguments)
        where: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "chat_template_kwargs": recipe.model.chat_template_kwargs,
        }
        if processes > 1:
            return Shards(source, *how, **where, processes=processes).open()
        return open_engine(*how, partial(self.policy, source, device), source, **where)
