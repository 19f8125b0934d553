"""Two evaluations that lie on disk, one held against the other as a run is against its baseline."""

from __future__ import annotations

import tomllib
from pathlib import Path

from harness.gate.baseline import Baseline, differences, prompt_fingerprint, question_content, read_baseline
from harness.gate.verdicts import judge_against_baseline, judged, with_ungraded
from harness.pipeline.baselines import grader_fingerprint
from harness.pipeline.fingerprint import COMPARED
from harness.pipeline.manifest import require_run
from harness.recipe.needs import look_beside_recipe_of
from harness.recipe.schema import GateSection
from harness.rewards import Rewards
from harness.store.errors import HarnessError
from harness.store.records import SUMMARY, Summary, correct_counts, summed_records
from harness.store.run_files import ENVIRONMENT, IDENTITY, QUESTIONS, Verdict
from harness.store.siblings import name_of
from harness.store.stages import SIDES


def compared(first: Path, second: Path, *, alpha: float, margin: float | None) -> Verdict:
    """What the baseline gate says of the ``second`` evaluation against the ``first``: run directories or files of
    baselines. ``margin`` is that of the second one's recipe where it is ``None``.

    Raises:
        HarnessError: one of them is no finished evaluation.
    """
    (a, a_summary), (b, b_summary) = evaluation_of(first), evaluation_of(second)
    names = called(first, second)
    if changed := differences(a, b):
        numbers = {"run": names[1], "against": names[0], "changed": changed}
        verdict = judged("baseline", "INCOMPARABLE", "changed", numbers)
    else:
        verdict = judge_against_baseline(
            a.correct,
            {question: correct / b.samples for question, correct in b.correct.items()},
            list(b.content),
            samples=a.samples,
            commit=b.commit,
            baseline_commit=a.commit,
            margin=margin or GateSection(**tomllib.loads(b.recipe_toml).get("gate", {})).margin,
            alpha=alpha,
            candidate_samples=b.samples,
            recorded=first.is_file(),
        )
    for name, summary in zip(names, (a_summary, b_summary), strict=True):
        if summary is not None:
            verdict = with_ungraded(verdict, summary, f" of {name}")
    return verdict


def called(first: Path, second: Path) -> tuple[str, str]:
    """What a person calls two runs, or files of baselines: by their folders where they have one name."""
    a, b = (path.name if path.is_file() else name_of(path) for path in (first, second))
    return (first.name, second.name) if a == b else (a, b)


def evaluation_of(path: Path) -> tuple[Baseline, Summary | None]:
    """A baseline file, or a run directory's ``after`` (else ``before``), as a baseline; and the latter's summary."""
    if path.is_file():
        with path.open("rb") as file:
            try:
                recipe = str(tomllib.load(file).get("recipe", ""))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError):
                raise HarnessError(f"{path}: neither a run directory nor a baseline file") from None
        return read_baseline(path, recipe), None
    require_run(path)
    summaries = ((path / name, SUMMARY.read(path / name)) for name in reversed(SIDES))
    stage, summary = next((each for each in summaries if each[1]), (path, None))
    identity, environment, effective = IDENTITY.read(path), ENVIRONMENT.read(path), path / "recipe.toml"
    if identity is None or environment is None or summary is None:
        raise HarnessError(f"{path}: holds no finished evaluation")
    if stage.name == "before" and (path / "train").is_dir():  # it is the base model that was asked
        raise HarnessError(f"{path}: its trained policy was not asked to the end; the same command goes on from there")
    folder = look_beside_recipe_of(path)
    questions = list(QUESTIONS.read(path))[: summary.questions]
    generation, grading = identity["generation"], identity["grading"]
    try:
        grader = grader_fingerprint(Rewards(dict(grading["rewards"]), folder=folder), grading["graders"])
    except KeyError as missing:
        raise HarnessError(
            f"{IDENTITY.path(path)}: grading.graders: {missing} is missing; "
            "run again with --rl-fresh, which moves this run aside and makes it anew"
        ) from None
    own = Baseline(
        recipe=environment.recipe,
        seed=environment.seed,
        samples=summary.samples_per_question,
        prompt=prompt_fingerprint(questions),
        chat_template_kwargs=generation.get("chat_template_kwargs", {}),
        grader=grader,
        engine=generation["engine"]["name"],
        decoding={key: value for key, value in generation["decoding"].items() if key in COMPARED},
        versions={},
        commit=environment.git["commit"] if environment.git else "no commit",
        date=environment.created[:10],
        model=str(summary.model),
        correct=correct_counts(summed_records(stage, summary), (question.id for question in questions)),
        content={question.id: question_content(question) for question in questions},
        recipe_toml=effective.read_text(encoding="utf-8") if effective.is_file() else "",
    )
    return own, summary
