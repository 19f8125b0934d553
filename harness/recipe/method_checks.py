"""What can never work about a training method, its data, its adapter, or the recipe that it starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.recipe.lineage import check_lineage
from harness.store.errors import RecipeError

if TYPE_CHECKING:
    from harness.recipe import Recipe

Refuse = Callable[[tuple[str, ...], str], None]

_TOKENS = "answers are put into tokens as the policy is asked, with its own chat template and its own end"
_ANSWERS = "the last turn of a chat is learnt, and every other one is its prompt"

# Keys of one method's TRL config that the harness sets itself, and what decides instead.
OWNED_BY: dict[str, dict[str, str]] = {
    "grpo": {},
    "sft": {
        "assistant_only_loss": _ANSWERS,
        "chat_template_path": _TOKENS,
        "dataset_kwargs": _TOKENS,
        "dataset_text_field": _TOKENS,
        "eos_token": _TOKENS,
        "pad_token": _TOKENS,
    },
    "dpo": {"pad_token": _TOKENS},
}


def check_method(recipe: Recipe, refuse: Refuse) -> None:
    """Call ``refuse(location, sentence)``, which raises, for the first rule that the recipe breaks."""
    if recipe.model.from_recipe is not None:
        try:
            check_lineage(recipe)
        except RecipeError as error:
            refuse(("model", "from_recipe"), str(error))
    _check_data(recipe, refuse)


def _check_data(recipe: Recipe, refuse: Refuse) -> None:
    data, method = recipe.data, recipe.train.method
    if data is None:
        return
    if method == "grpo":
        refuse(
            ("data",),
            'GRPO learns from what it samples itself; drop this table, or write method = "sft" or "dpo" under [train]',
        )
    if data.source == "solutions" and method == "dpo":
        refuse(
            ("data", "source"),
            'DPO learns from pairs, and worked solutions are right ones alone; write source = "completions", '
            "or a file with chosen and rejected answers",
        )
    if data.source not in ("completions", "solutions") and Path(data.source).suffix != ".jsonl":
        refuse(
            ("data", "source"),
            f'must be "completions", "solutions" or the path of a .jsonl file, not {data.source!r}',
        )
    if data.source != "completions":
        return
    if data.samples_per_question > 1 and data.temperature == 0:
        refuse(
            ("data", "samples_per_question"),
            f"{data.samples_per_question} greedy answers to a question are the same answer; "
            "set temperature above 0 or samples_per_question = 1",
        )
    if method == "dpo" and data.samples_per_question < 2:
        refuse(("data", "samples_per_question"), "a pair takes two answers to a question: give 2 or more, not 1")
