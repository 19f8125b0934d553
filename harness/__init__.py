"""Post-training expressed as pytest: load a model, train it, judge it before and after, and gate on the difference.

import harness

result = harness.run("tiny-arithmetic")
print(result.before().accuracy, "->", result.after().accuracy)
frame = result.frame()                  # one row a question, a pandas DataFrame

def short(completions, **columns):
    return [1.0 if len(completion[0]["content"]) < 80 else 0.0 for completion in completions]

harness.run(model="tiny", task="arithmetic", rewards=["boxed_numeric", short], train={"max_steps": 4}, limit=5)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.notebook.arguments import Model, RewardsGiven, Task
    from harness.notebook.result import Result
    from harness.pipeline.evaluate import Evaluation
    from harness.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["evaluate", "run"]

Given = Mapping[str, Any]


def run(
    recipe: str | Path | Recipe | None = None,
    *,
    model: Model | None = None,
    task: Task | None = None,
    rewards: RewardsGiven | None = None,
    train: Given | None = None,
    lora: Given | None = None,
    evaluate: Given | None = None,
    gate: Given | None = None,
    limit: int | None = None,
    seed: int | None = None,
    **settings: Any,
) -> Result:
    """Run a recipe to its verdicts without pytest and return the finished run.

    Args:
        recipe: the name of a shipped recipe, a TOML file, or a ``Recipe`` built in Python. Without one, a recipe is
            made of the arguments below (``model`` and ``task`` at the least); with one, they change it.
        model: what ``[model] name`` may be.
        task: ``"arithmetic"``, ``"gsm8k"``, a path or a Hub id; or the questions themselves: a list of dicts or a
            ``datasets.Dataset`` with the columns ``question`` and ``answer``, or ``{"train": ..., "test": ...}``.
            Other keys of ``[task]``: ``{"name": any of these, "test_questions": 50, ...}``.
        rewards: functions and names, each with weight 1, or a dict of them and their weights.
        train, lora, evaluate, gate: tables of a recipe, as in ``train={"learning_rate": 1e-4}``.
        limit: a look at so many questions. It is no gate, and says so instead of a verdict.
        seed: the training seed; the recipe's first one if not given.
        settings: fields of ``Settings``: ``runs_dir``, ``data``, ``device``, ``fresh`` ...

    Raises:
        HarnessError: a mistake in the recipe, the data or the model, or a training job that failed.
    """
    from harness.notebook import arguments
    from harness.notebook.progress import Progress
    from harness.notebook.result import Result
    from harness.pipeline.judge import count_gates
    from harness.recipe.needs import check_needs

    tables = {"model": model, "task": task, "rewards": rewards, "train": train, "lora": lora}
    asked = arguments.recipe_of(recipe, {**tables, "evaluate": evaluate, "gate": gate}, settings, limit)
    folder = settings.setdefault("baselines_dir", Path("suites/baselines"))
    # Alpha is shared as in pytest's session of this recipe, so that the verdicts are the same.
    gates = sum(count_gates(asked, each, folder and Path(folder)) for each in asked.seeds)
    settings.setdefault("gates", gates)
    with Progress() as progress:
        finished = Result(asked, seed, arguments.settings_of(asked, settings, progress))
        finished.look = limit
        check_needs(asked, data=finished.settings.data)
        finished.finish()
    return finished


def evaluate(
    model: Model | Result,
    task: Task,
    rewards: RewardsGiven | None = None,
    *,
    limit: int | None = None,
    evaluate: Given | None = None,
    **settings: Any,
) -> Evaluation:
    """Ask a model the test questions of a task and grade its answers. All are as in :func:`run`, but that of questions
    that are given as one list, every one is asked, and that ``model`` may be a finished run: its trained model.

    Raises:
        HarnessError: a mistake in the questions, the rewards or the model.
    """
    from harness.notebook import arguments
    from harness.notebook.progress import Progress
    from harness.pipeline.run import Run
    from harness.recipe.needs import check_needs

    if isinstance(model, Run):
        told = model.recipe.model
        model = {
            "name": str(model.trained().model.resolve()),
            "dtype": told.dtype,
            "chat_template_kwargs": dict(told.chat_template_kwargs),
        }
    tables = {"model": model, "task": task, "rewards": rewards, "evaluate": evaluate}
    asked = arguments.recipe_of(None, tables, settings, limit, trains=False)
    with Progress() as progress:
        made = Run(asked, None, arguments.settings_of(asked, settings, progress))
        check_needs(asked, data=made.settings.data, trains=False)
        found = made.before()
        made.release()
    return found
