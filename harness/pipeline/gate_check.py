"""How often the baseline gate cries wolf: one policy held against itself, asked anew with other seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.gate.verdicts import judge_against_baseline
from harness.pipeline.baselines import SAMPLED
from harness.pipeline.run import Run
from harness.store.errors import HarnessError
from harness.store.records import correct_counts


@dataclass(frozen=True)
class GateCheck:
    """``words`` counts the verdicts, ``asked`` is how many of the ``questions`` decided one, on average, and
    ``accuracy`` is the policy's."""

    words: Mapping[str, int]
    asked: float
    questions: int
    accuracy: float
    temperature: float


def check_gate(run: Run, times: int, *, temperature: float | None = None, trained: bool = False) -> GateCheck:
    """Ask a run's base policy (or what it ``trained``) that many times; every REGRESSED is a false alarm.

    Raises:
        HarnessError: ``times`` is less than 1.
    """
    if times < 1:
        raise HarnessError(f"--runs {times} asks nothing; give 1 or more")
    recipe, words, asked = run.recipe, Counter[str](), 0
    temperature = recipe.evaluate.temperature if temperature is None else temperature
    temperature = temperature or 1.0  # greedy answers are the same whatever the seed
    order = [question.id for question in run.questions.test]
    decoding = replace(recipe.evaluate.sampling, temperature=temperature, samples_per_question=SAMPLED)
    baseline = run.ask("gate-check/baseline", decoding, trained=trained)
    correct = correct_counts(baseline.records, order)
    for seed in range(1, times + 1):
        once = replace(decoding, samples_per_question=1, seed=decoding.seed + seed)
        again = run.ask(f"gate-check/{seed}", once, trained=trained)
        verdict = judge_against_baseline(
            correct,
            again.means,
            order,
            samples=SAMPLED,
            commit=f"check {seed}",
            margin=recipe.gate.margin,
            alpha=recipe.gate.alpha,
        )
        words[verdict.verdict] += 1
        asked += verdict.numbers.get("certain_after") or len(order)
        run.settings.announce("gate-check", f"{seed}/{times} runs", seed / times)
    return GateCheck(words, asked / times, len(order), baseline.accuracy, temperature)
