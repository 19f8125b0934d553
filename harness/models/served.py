"""Recipes whose model is served elsewhere (``[model] endpoint``): what is known of it, and what cannot be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.engines.address import server_url
from harness.pipeline.fingerprint import questions_identity
from harness.store.manifest import versions
from harness.store.versions import ENGINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.models.engines.chat_server import Served
    from harness.models.engines.endpoint import EndpointEngine
    from harness.recipe import EvaluateSection, Recipe
    from harness.tasks import Question

# Fixtures of the plugin that need weights, or a trained model.
NEED_WEIGHTS = frozenset({"policy", "trained", "after", "verdicts", "methods"})


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
    """
    from harness.models.engines.endpoint import EndpointEngine

    url = server_url(str(recipe.model.endpoint))
    return EndpointEngine(
        url,
        recipe.model.name or None,
        chat_template_kwargs=recipe.model.chat_template_kwargs,
        **recipe.engine.arguments,
    )


def served_generation(
    served: Served, recipe: Recipe, questions: Sequence[Question], decoding: EvaluateSection
) -> dict[str, Any]:
    """What decides a served model's answers, as ``generation_identity`` says it of one here.

    The address and the server's word stand for the weights, which nobody here can see; not ``created``: some servers
    say the time of the question there. How fast the engine asks and how often it tries again decide nothing; what its
    requests leave out does.
    """
    word = {"endpoint": served.url, "served": served.model, "root": served.root, "owned_by": served.owned_by}
    return {
        **questions_identity(questions, decoding, recipe.model.chat_template_kwargs),
        "model": {key: value for key, value in word.items() if value is not None},
        "engine": {
            "name": "endpoint",
            "version": ENGINES["endpoint"],
            **({"omit": sorted(omitted)} if (omitted := set(recipe.engine.arguments.get("omit", ()))) else {}),
            **versions("rl-harness"),
        },
        "device": "endpoint",
        "dtype": "unknown",
    }


def served_environment(served: Served) -> dict[str, Any]:
    """Rows for a reader of ``environment.json``."""
    known = {
        "device": "endpoint",
        "endpoint": served.url,
        "served_model": served.model,
        "served_root": served.root,
        "served_owned_by": served.owned_by,
        "served_created": served.created,
        "served_context_length": served.context_length,
        "weights": "unknown: the server's word is all there is, and it may serve others under the same name",
    }
    return {key: value for key, value in known.items() if value is not None}
