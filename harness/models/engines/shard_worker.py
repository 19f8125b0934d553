"""A process that answers for another: ``python -m harness.models.engines.shard_worker``.

One line on standard input says what to open, ``{"name", "model", "device", "dtype", "engine",
"arguments", "chat_template_kwargs"}``; each further line is a request ``{"questions", "decoding", "skip"}``. On
standard output comes ``{"ready": true}`` when the model is loaded, and for each request lines ``{"answers": [...]}``,
then ``{"peak_memory_bytes": n, "slow": why}``; or ``{"error", "kind"}`` where the user can mend something.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.models.processes import end_with_parent
from harness.store.errors import HarnessError

if TYPE_CHECKING:
    from harness.models.engines import Engine


def main() -> None:
    end_with_parent(lambda: os._exit(1), reads_input=True)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(message: dict[str, Any]) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    try:
        engine = _open(json.loads(sys.stdin.readline()))
        tell({"ready": True})
        for line in sys.stdin:
            _answer(engine, json.loads(line), tell)
    except HarnessError as error:
        tell({"error": str(error), "kind": type(error).__name__})
        sys.stdin.read()  # until we are closed


def _open(opening: dict[str, Any]) -> Engine:
    from harness.models import load_policy, resolve_model
    from harness.models.engines.opening import open_engine

    source = replace(resolve_model(opening["model"]), name=opening["name"])
    where = {key: opening[key] for key in ("device", "dtype", "chat_template_kwargs")}
    return open_engine(opening["engine"], opening["arguments"], lambda: load_policy(source, **where), source, **where)


def _answer(engine: Engine, asked: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    from harness.models.device import peak_memory
    from harness.store.question import Question
    from harness.store.records import SamplingParams

    questions = [Question(**{**row, "prompt": tuple(row["prompt"])}) for row in asked["questions"]]
    skip = {(question, sample) for question, sample in asked["skip"]}
    for answers in engine.answer(questions, SamplingParams(**asked["decoding"]), skip):
        tell({"answers": [asdict(answer) for answer in answers]})
    tell({"peak_memory_bytes": peak_memory(engine.device), "slow": getattr(engine, "slow", None)})


if __name__ == "__main__":
    main()
