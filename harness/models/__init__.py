"""What answers: a model, its tokenizer and chat template (a policy), and the engines that answer questions with one.

Nothing here knows a recipe, a grade or a run: engines take ``SamplingParams`` and hand out ``Generation``.

    policy = load_policy("tiny")
    for batch in generate(policy, questions.test, SamplingParams()):
        print(batch[0].completion)

Importing this package brings neither torch nor transformers; its names are looked up when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.models.engines.local import generate
    from harness.models.load import load_policy
    from harness.models.notebook import generate_responses, load_model_and_tokenizer, test_model_with_questions
    from harness.models.policy import Policy
    from harness.models.source import ModelSource, fingerprint, resolve_model

__all__ = [
    "ModelSource",
    "Policy",
    "fingerprint",
    "generate",
    "generate_responses",
    "load_model_and_tokenizer",
    "load_policy",
    "resolve_model",
    "test_model_with_questions",
]

_MODULES = {
    "ModelSource": "source",
    "Policy": "policy",
    "fingerprint": "source",
    "generate": "engines.local",
    "generate_responses": "notebook",
    "load_model_and_tokenizer": "notebook",
    "load_policy": "load",
    "resolve_model": "source",
    "test_model_with_questions": "notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
