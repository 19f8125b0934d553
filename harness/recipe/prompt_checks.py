"""One prompt in every stage: what the chat template is told stands under ``[model]``, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.recipe import Recipe

KEY = "chat_template_kwargs"
ELSEWHERE = "belongs to [model], so that every stage asks the same prompt"
# Arguments of the tokenizer's apply_chat_template: they are no variables of a template.
_OWNED = {
    **dict.fromkeys(("conversation", "messages"), "the chat is the question's, by [task]"),
    **dict.fromkeys(("tools", "documents"), "no stage has any"),
    "chat_template": "put a chat_template.jinja into a local copy of the model, and name that under [model]",
    **dict.fromkeys(
        ("add_generation_prompt", "continue_final_message"), "a prompt always ends where the answer begins"
    ),
    **dict.fromkeys(
        (
            "tokenize",
            "padding",
            "truncation",
            "max_length",
            "return_tensors",
            "return_dict",
            "return_assistant_tokens_mask",
            "sanitize_control_tokens",
            "tokenizer_kwargs",
        ),
        "prompts are put into tokens whole, the same way in every stage",
    ),
}


def check_prompts(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    """Call ``refuse`` for the first rule that is broken."""
    others = {"train": recipe.train.arguments, "engine": recipe.engine.arguments, "health": recipe.health.limits}
    for table, arguments in others.items():
        for location in _places(arguments):
            refuse((table, *location), ELSEWHERE)
    if recipe.train.arguments.get("truncation_mode") == "keep_end":
        cut = '"keep_end" cuts the beginning off prompts that every other stage asks whole; write "keep_start"'
        refuse(("train", "truncation_mode"), cut)
    for key, value in recipe.model.chat_template_kwargs.items():
        if owner := _OWNED.get(key):
            refuse(("model", KEY, key), f"not set here: {owner}")
        if not _plain(value):
            must = "must be text, a number, true or false, or lists and tables of them"
            refuse(("model", KEY, key), f"{must}, not {value!r}")


def _places(arguments: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where a table holds the key; TRL and engines take tables in tables, and JSON text for them."""
    for key, value in arguments.items():
        if key == KEY or (isinstance(value, str) and KEY in value):
            yield (key,)
        elif isinstance(value, Mapping):
            yield from ((key, *rest) for rest in _places(value))


def _plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
