"""Whether a reward function takes the parameters that a recipe gives it: shipped ones are known at collection."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from harness.store.errors import RewardError

GIVEN = frozenset(
    {
        "prompts",
        "completions",
        "completion_ids",
        "completion_tokens",
        "ground_truth",
        "question",
        "question_id",
        "trainer_state",
        "log_extra",
        "log_metric",
        "environments",
    }
)
"""What every reward function is called with anyway."""


def check_parameters(name: str, function: Callable[..., Any], parameters: Mapping[str, Any], *, shipped: bool) -> None:
    """Raises ``RewardError`` for a parameter that a function does not take, or lacks.

    A shipped function's parameters are its keyword-only ones, and it looks at their values. A function of the user's
    may take anything by ``**``.
    """
    signature = _signature(function)
    if signature is None:
        return
    kinds = inspect.Parameter
    own = [each for each in signature.parameters.values() if each.kind is kinds.KEYWORD_ONLY and each.name not in GIVEN]
    takes = [each.name for each in own]
    anything = any(each.kind is kinds.VAR_KEYWORD for each in signature.parameters.values()) and not shipped
    named = {each.name for each in signature.parameters.values() if each.kind is not kinds.VAR_KEYWORD}
    for key in parameters:
        if not anything and key not in (takes if shipped else named):
            close = get_close_matches(key, takes, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"{name} takes {', '.join(takes) or 'none'}"
            raise RewardError(f"unknown parameter {key!r}; {hint}")
    missing = [each.name for each in own if each.default is kinds.empty and each.name not in parameters]
    if missing and shipped:  # a keyword of the user's may be a column of their questions
        example = ", ".join(f"{key} = ..." for key in missing)
        raise RewardError(f"needs {' and '.join(missing)}, as in {name} = {{ weight = 1.0, {example} }}")
    if shipped:
        function(prompts=[], completions=[], ground_truth=[], completion_tokens=[], **parameters)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some callables of C have none
        return None
