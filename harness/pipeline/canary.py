"""Canaries asked before: once for a model's shape, engine and device, in ``.canary/`` of the runs directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.records import iter_records
from harness.store.run_directory import digest, read_json, write_json

if TYPE_CHECKING:
    from harness.models.source import ModelSource
    from harness.pipeline.evaluate import Evaluation
    from harness.pipeline.run import Run
    from harness.recipe import EvaluateSection
    from harness.tasks import Question

FILE = "canary.json"


def watch(
    run: Run,
    evaluation: Evaluation,
    source: ModelSource,
    decoding: EvaluateSection,
    questions: Sequence[Question],
    identity: Mapping[str, Any],
) -> None:
    """Leave ``canary.json`` beside an evaluation's answers; questions are asked for it only where they just were.

    ``identity`` is that of the answers, a ``generation_identity``.
    """
    loaded = run.loaded

    def ask() -> dict[str, Any]:
        from harness.models.engines.canary import run_canary

        greedy = () if decoding.temperature else iter_records(evaluation.directory)
        answered = {each.question_id: each for each in greedy if each.error is None}
        engine = loaded.engine(source, run.device)
        policy = loaded.policy(source, run.device) if loaded.holds_scores(source) else None
        run.settings.announce(f"{run.id} canary", "8 questions one at a time")
        return run_canary(engine, policy, questions, decoding, answered)

    store = run.settings.runs_dir / ".canary"
    key = canary_key(identity, decoding.batch_size)
    keep_canary(evaluation.directory, store, key, ask if loaded.answers(source) else None)


def canary_key(identity: Mapping[str, Any], size: int | str) -> str:
    """What a canary's result holds for: everything about a model but its weights, and what answers how. ``identity``
    is that of the answers."""
    shape = {key: value for key, value in identity["model"].items() if key != "weights"}
    what = {part: identity[part] for part in ("engine", "device", "dtype")}
    return digest([{**what, "model": shape}, size])[:16]


def keep_canary(stage: Path, store: Path, key: str, ask: Callable[[], dict[str, Any]] | None) -> None:
    """Leave ``canary.json`` in a stage directory: what ``store`` has under ``key``, or what ``ask`` finds now, which is
    then stored. Without ``ask`` (nothing was generated) only what is known is written."""
    if (stage / FILE).is_file():
        return
    known = read_json(store / f"{key}.json")
    if known is None and ask is not None:
        known = ask()
        if known["level"] != "unknown":
            write_json(store / f"{key}.json", known)
    if known is not None:
        write_json(stage / FILE, known)
