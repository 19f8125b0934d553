"""Fixtures: a stage of the flow each. All are made once a recipe and seed, however many tests and workers ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.plugin.session import plainly, session_of

if TYPE_CHECKING:
    from harness.evaluation import Evaluation
    from harness.gate import Verdict
    from harness.pipeline import Run, Trained
    from harness.policy import Policy
    from harness.recipe import Recipe
    from harness.tasks import Questions


class Verdicts:
    """Verdicts by gate, computed when asked for: ``verdicts["improvement"]``, ``verdicts.require("accuracy")``."""

    def __init__(self, run: Run, strict: bool) -> None:
        self._run, self._strict = run, strict

    def __getitem__(self, gate: str) -> Verdict | None:
        """The verdict of one gate, or ``None`` where the recipe asks nothing of it."""
        with plainly():
            return self._run.verdict(gate)

    def require(self, gate: str) -> None:
        """Fail the test where the verdict is a failure, and skip it where the data cannot tell (fail if strict)."""
        verdict = self[gate]
        if verdict is None:
            pytest.skip(f"recipe {self._run.recipe.name} asks for no {gate}")
        text = f"{verdict.verdict} {self._run.id}: {verdict.sentence}"
        if verdict.passed is False or (verdict.passed is None and self._strict):
            pytest.fail(text, pytrace=False)
        if verdict.passed is None:
            pytest.skip(text)


@pytest.fixture(scope="session")
def rl_run(request: pytest.FixtureRequest) -> Run:
    """One recipe and seed with all its stages (:class:`harness.pipeline.Run`); parametrized by the plugin."""
    recipe, seed = request.param
    run: Run = session_of(request.config).run_of(recipe, seed)
    return run


@pytest.fixture(scope="session")
def recipe(rl_run: Run) -> Recipe:
    """The recipe, command line overrides applied."""
    return rl_run.recipe


@pytest.fixture(scope="session")
def device(rl_run: Run) -> str:
    """``"cuda"``, ``"mps"`` or ``"cpu"``. An xdist worker sees one GPU, within what the caller may see."""
    with plainly():
        return rl_run.device


@pytest.fixture(scope="session")
def questions(rl_run: Run) -> Questions:
    """Training and test questions, prompts included."""
    with plainly():
        return rl_run.questions


@pytest.fixture(scope="session")
def policy(rl_run: Run, device: str) -> Policy:
    """The base policy, loaded on the device. Its memory is freed when the test module ends."""
    with plainly():
        return rl_run.policy()


@pytest.fixture(scope="session")
def before(rl_run: Run, device: str) -> Evaluation:
    """The base policy's evaluation."""
    with plainly():
        return rl_run.before()


@pytest.fixture(scope="session")
def trained(rl_run: Run, device: str) -> Trained:
    """The finished training job."""
    with plainly():
        return rl_run.trained()


@pytest.fixture(scope="session")
def after(rl_run: Run, device: str) -> Evaluation:
    """The trained policy's evaluation."""
    with plainly():
        return rl_run.after()


@pytest.fixture(scope="session")
def verdicts(rl_run: Run, device: str, pytestconfig: pytest.Config) -> Verdicts:
    """What the gate says of this run; stages that a verdict needs are made when it is asked for."""
    return Verdicts(rl_run, session_of(pytestconfig).strict)
