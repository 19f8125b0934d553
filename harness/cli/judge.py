"""``rl-harness compare`` and ``plan``: verdicts, and what verdicts can be expected, without asking a model."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from harness.cli.look import require_run
from harness.cli.work import chosen_recipe
from harness.gate.against_baseline import judge_against_baseline
from harness.gate.baseline import Baseline, differences, prompt_fingerprint, question_content, read_baseline
from harness.gate.ungraded import with_ungraded
from harness.gate.verdicts import Verdict
from harness.pipeline.baselines import grader_fingerprint
from harness.pipeline.fingerprint import COMPARED
from harness.pipeline.judge import count_gates
from harness.pipeline.manifest import read_questions
from harness.pipeline.plan import gate_lines, kept_lines, plan_lines
from harness.recipe.needs import look_beside_recipe_of
from harness.recipe.sections import GateSection
from harness.store.errors import HarnessError
from harness.store.records import correct_counts, iter_records
from harness.store.run_directory import read_json
from harness.store.stages import SIDES


def compare(options: argparse.Namespace) -> int:
    """Hold B's latest evaluation against A's; 1 where it REGRESSED or the two cannot be compared."""
    (a, a_summary), (b, b_summary) = _evaluation(options.a), _evaluation(options.b)
    verdict = _compared(a, b, options)
    for path, summary in ((options.a, a_summary), (options.b, b_summary)):
        if summary is not None:
            verdict = with_ungraded(verdict, summary, f" of {path.name}")
    if verdict.verdict == "INCOMPARABLE":
        print(f"INCOMPARABLE  {verdict.sentence}")
    else:
        print(f"{verdict.verdict}  {options.a.name} -> {options.b.name}: {verdict.sentence}")
    if options.html:
        _draw(options, verdict)
    return int(verdict.passed is False)


def _compared(a: Baseline, b: Baseline, options: argparse.Namespace) -> Verdict:
    changed = differences(a, b)
    if changed:
        sentence = f"{options.b.name} differs from {options.a.name} in {' and '.join(changed)}"
        return Verdict("baseline", "INCOMPARABLE", sentence, {"changed": changed})
    return judge_against_baseline(
        a.correct,
        {question: correct / b.samples for question, correct in b.correct.items()},
        list(b.content),
        samples=a.samples,
        commit=b.commit,
        baseline_commit=a.commit,
        margin=options.margin or GateSection(**tomllib.loads(b.recipe_toml).get("gate", {})).margin,
        alpha=options.alpha,
        candidate_samples=b.samples,
        recorded=options.a.is_file(),
    )


def _draw(options: argparse.Namespace, verdict: Verdict) -> None:
    """The page of both runs' answers; a file of a baseline has none, which changes nothing about the verdict."""
    from harness.report.render import render_comparison

    files = [path for path in (options.a, options.b) if path.is_file()]
    if files:
        print(f"no page: {files[0]} is a baseline file and keeps no texts; --html needs two run directories")
        return
    folder = options.report_dir
    try:
        page = render_comparison(options.a, options.b, verdict.to_json(), folder)
    except OSError as error:
        raise HarnessError(f"{folder}: the page cannot be written ({error}); choose another --report-dir") from None
    print(f"page: {page}")


def plan(options: argparse.Namespace) -> int:
    """What a recipe would cost and what its gates can see."""
    recipe = chosen_recipe(options)
    print(f"{recipe.name}: {recipe.description}")
    for line in plan_lines(recipe, options.data):
        print(f"  {line}")
    gates = sum(count_gates(recipe, seed, options.baselines_dir) for seed in recipe.seeds)
    for seed in recipe.seeds:
        kept = kept_lines(recipe, seed, options.runs_dir)
        for line in (*kept, *gate_lines(recipe, seed, options.baselines_dir, gates)):
            print(f"  seed {seed}, {line}")
    return 0


def _evaluation(path: Path) -> tuple[Baseline, dict[str, Any] | None]:
    """A baseline file, or a run directory's ``after`` (else ``before``), as a baseline; and the latter's summary."""
    if path.is_file():
        with path.open("rb") as file:
            try:
                recipe = str(tomllib.load(file).get("recipe", ""))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError):
                raise HarnessError(f"{path}: neither a run directory nor a baseline file") from None
        return read_baseline(path, recipe), None
    require_run(path)
    stage = next((path / name for name in reversed(SIDES) if (path / name / "summary.json").is_file()), None)
    identity, summary = read_json(path / "identity.json"), read_json(stage / "summary.json") if stage else None
    if stage is None or identity is None or summary is None:
        raise HarnessError(f"{path}: holds no finished evaluation")
    environment, effective = read_json(path / "environment.json") or {}, path / "recipe.toml"
    look_beside_recipe_of(path)
    questions = read_questions(path)[: summary["questions"]]
    correct = correct_counts(iter_records(stage), (question.id for question in questions))
    decoding = identity["generation"]["decoding"]
    own = Baseline(
        recipe=str(environment.get("recipe", path.name)),
        seed=int(environment.get("seed", 0)),
        samples=summary["samples_per_question"],
        prompt=prompt_fingerprint(questions),
        chat_template_kwargs=identity["generation"].get("chat_template_kwargs", {}),
        grader=grader_fingerprint(dict(identity["grading"]["rewards"]), identity["grading"]["graders"]),
        engine=identity["generation"]["engine"]["name"],
        decoding={key: value for key, value in decoding.items() if key in COMPARED},
        versions={},
        commit=str((environment.get("git") or {}).get("commit", "no commit")),
        date=str(environment.get("created", ""))[:10],
        model=str(summary.get("model")),
        correct=correct,
        content={question.id: question_content(question) for question in questions},
        recipe_toml=effective.read_text(encoding="utf-8") if effective.is_file() else "",
    )
    return own, summary
