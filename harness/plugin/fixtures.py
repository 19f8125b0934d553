"""Fixtures, one a stage of the flow: all but ``policy`` and ``require`` are made once a recipe and seed, however many
tests and workers ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.plugin.session import session_of

if TYPE_CHECKING:
    from harness.gate import Verdict
    from harness.models import Policy
    from harness.pipeline.evaluate import Evaluation
    from harness.pipeline.run import Run
    from harness.pipeline.train import Trained
    from harness.plugin.session import Session
    from harness.recipe import Recipe
    from harness.store.audit import Audit
    from harness.store.methods import Comparison
    from harness.tasks import Questions


class Verdicts:
    """Verdicts by gate, computed when asked for: ``verdicts["improvement"]``, ``verdicts.require("accuracy")``."""

    def __init__(self, run: Run, session: Session) -> None:
        self._run, self._session = run, session

    def __getitem__(self, gate: str) -> Verdict | None:
        """The verdict of one gate, or ``None`` where the recipe asks nothing of it."""
        return self._over_seeds() if gate == "recipe" else self._run.verdict(gate)

    def _over_seeds(self) -> Verdict | None:
        """Said once, with the last seed, when the others are there."""
        from harness.pipeline.run import over_seeds

        seeds = self._run.recipe.seeds
        if self._run.seed != seeds[-1]:
            return None
        runs = [self._session.run_of(self._run.recipe, seed) for seed in seeds]
        verdict = over_seeds(runs)
        if verdict is not None:
            self._run.keep(verdict)
        return verdict

    def require(self, gate: str) -> None:
        """Fail the test where the verdict is a failure, and skip it where the data cannot tell (fail if strict)."""
        __tracebackhide__ = True  # pytest says where a test is skipped: that is the test's line
        verdict = self[gate]
        seeds = self._run.recipe.seeds
        if verdict is None and gate == "recipe" and len(seeds) > 1:
            pytest.skip(f"{self._run.id}: the verdict about the recipe comes with its last seed, {seeds[-1]}")
        if verdict is None:
            pytest.skip(f"{self._run.id}: nothing is asked of the {gate} gate")
        _hold(self._run, verdict, self._session.strict)


def _hold(run: Run, verdict: Verdict, strict: bool) -> None:
    """A failing verdict fails the test by its sentence and some of the questions that were lost; one that cannot tell
    skips it, or fails it if strict."""
    __tracebackhide__ = True
    text = f"{verdict.verdict} {run.id}: {verdict.sentence}"
    if verdict.passed is False or (verdict.passed is None and strict):
        lost = run.lost(verdict.gate) if verdict.passed is False else ()
        pytest.fail("\n".join([text, *lost]), pytrace=False)
    if verdict.passed is None:
        pytest.skip(text)


@pytest.fixture(scope="session")
def rl_run(request: pytest.FixtureRequest) -> Run:
    """One recipe and seed with all its stages (:class:`harness.pipeline.run.Run`); parametrized by the plugin."""
    recipe, seed = request.param
    run: Run = session_of(request.config).run_of(recipe, seed)
    return run


@pytest.fixture(scope="session")
def rl_runs(request: pytest.FixtureRequest) -> tuple[Run, ...]:
    """Runs of recipes that differ in their training method alone, every seed of each; parametrized by the plugin."""
    session = session_of(request.config)
    return tuple(session.run_of(recipe, seed) for recipe, seed in request.param)


@pytest.fixture(scope="session")
def methods(rl_runs: tuple[Run, ...]) -> Comparison:
    """What the runs of :func:`rl_runs` say of their methods, kept as ``methods.json`` in each run directory."""
    from harness.pipeline.methods import compare_methods, write_methods

    for run in rl_runs:
        run.before()
        run.after()
        run.release()
    directories = [run.directory for run in rl_runs]
    gate = rl_runs[0].recipe.gate
    comparison = compare_methods(directories, alpha=gate.alpha, margin=gate.margin)
    write_methods(comparison, directories)
    return comparison


@pytest.fixture(scope="session")
def recipe(rl_run: Run) -> Recipe:
    """The recipe, command line overrides applied."""
    return rl_run.recipe


@pytest.fixture(scope="session")
def device(rl_run: Run) -> str:
    """``"cuda"``, ``"mps"`` or ``"cpu"``. An xdist worker sees one GPU, within what the caller may see."""
    return rl_run.device


@pytest.fixture(scope="session")
def questions(rl_run: Run) -> Questions:
    """Training and test questions, prompts included."""
    return rl_run.questions


@pytest.fixture(scope="session")
def audit(rl_run: Run, device: str) -> Audit:
    """The audit of the recipe's reward functions (:mod:`harness.rewards.audit`), with its questions."""
    return rl_run.audit()


@pytest.fixture(scope="module")
def policy(rl_run: Run, device: str) -> Policy:
    """The base policy, loaded on the device. Its memory is freed when the test module ends, hence the scope."""
    return rl_run.policy()


@pytest.fixture(scope="session")
def before(rl_run: Run, device: str) -> Evaluation:
    """The base policy's evaluation."""
    return rl_run.before()


@pytest.fixture(scope="session")
def trained(rl_run: Run, device: str) -> Trained:
    """The finished training job."""
    return rl_run.trained()


@pytest.fixture(scope="session")
def after(rl_run: Run, device: str) -> Evaluation:
    """The trained policy's evaluation."""
    return rl_run.after()


@pytest.fixture(scope="session")
def verdicts(rl_run: Run, device: str, pytestconfig: pytest.Config) -> Verdicts:
    """What the gate says of this run; stages that a verdict needs are made when it is asked for."""
    return Verdicts(rl_run, session_of(pytestconfig))


@pytest.fixture
def require(rl_run: Run, request: pytest.FixtureRequest) -> Callable[[Verdict], None]:
    """``require(verdict)`` holds a test to a verdict that it came to itself, as ``verdicts.require`` does by name.

    It is kept among the run's verdicts, its gate followed by the test: ``accuracy (test_evaluation.py::test_...)``.
    """
    node, strict = request.node, session_of(request.config).strict
    alone = node.callspec.params.keys() == {"rl_run"}
    test = f"{node.path.name}::{node.originalname if alone else node.name}"

    def hold(verdict: Verdict) -> None:
        __tracebackhide__ = True
        own = replace(verdict, gate=f"{verdict.gate} ({test})")
        rl_run.keep(own)
        _hold(rl_run, own, strict)

    return hold
