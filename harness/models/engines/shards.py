"""Several processes that answer together: each is asked its share of the questions by an engine of its own.

    engine = Shards(source, "transformers", {}, device="cuda", dtype="bfloat16", processes=8)
    for answers in engine.answer(questions.test, SamplingParams()):
        ...

On GPUs each process has one; on a CPU each has its part of the cores. Questions are dealt out by the length of their
prompts, longest first, so that shares take about equally long. Who answers has no say in an answer. The processes stay
for the next questions until the engine is closed. A process that dies is started again, once, and asked what it had
not answered.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.models.engines.shard_process import Events, ShardProcess
from harness.models.processes import gpus_for
from harness.store import errors
from harness.store.errors import HarnessError, ModelError
from harness.store.records import Generation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from harness.models.source import ModelSource
    from harness.store.question import Question
    from harness.store.records import SamplingParams

_MOST_STARTS = 2


class Shards:
    """An engine (:class:`harness.models.engines.Engine`) of ``processes`` processes.

    ``peak_memory_bytes`` is the most that one of them has held, ``slow`` as of
    ``TransformersEngine``. ``say`` is told when one dies.

    Raises:
        TrainingError: this machine has fewer GPUs.
    """

    def __init__(
        self,
        source: ModelSource,
        engine: str,
        arguments: Mapping[str, Any],
        *,
        device: str,
        dtype: str,
        processes: int,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = engine
        self.model, self.device = source.name, device
        self.peak_memory_bytes = 0
        self.slow: str | None = None
        opening = {
            "name": source.name,
            "model": str(source.path),
            "device": device,
            "dtype": dtype,
            "engine": engine,
            "arguments": dict(arguments),
            "chat_template_kwargs": dict(chat_template_kwargs or {}),
        }
        gpus = gpus_for(processes) if device == "cuda" else [None] * processes
        self._events: Events = queue.SimpleQueue()
        self._shards = [
            ShardProcess(f"evaluation process {number} of {processes}", opening, gpu, processes, self._events)
            for number, gpu in enumerate(gpus, 1)
        ]
        self._say = say

    def open(self) -> Shards:
        """Start the processes and wait until each has loaded the model: what comes then is answering alone.

        Raises:
            ModelError: the model cannot be loaded, or a process has died of it twice.
        """
        waiting, ready = set(self._shards), False
        try:
            for shard in self._shards:
                shard.starts = 0
                shard.start()
            while waiting:
                shard, process, said = self._events.get()
                if not shard.is_now(process):
                    continue
                if said is None:
                    self._start_again(shard, "while it loaded the model")
                elif "error" in said:
                    raise _error(said)
                else:
                    waiting.discard(shard)
            ready = True
        finally:
            if not ready:
                self.close()
        return self

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        done = set(skip)
        samples = range(decoding.samples_per_question)
        asked = [each for each in questions if any((each.id, sample) not in done for sample in samples)]
        shares = dealt(asked, len(self._shards))
        working = {shard: share for shard, share in zip(self._shards, shares, strict=True) if share}
        whole = False
        try:
            for shard, share in working.items():
                shard.starts = int(shard.alive)
                self._ask(shard, share, decoding, done)
            while working:
                shard, process, said = self._events.get()
                if shard not in working or not shard.is_now(process):
                    continue  # an idle one has died, and was started again for these questions
                if said is None:
                    self._ask_again(shard, working[shard], decoding, done)
                elif "answers" in said:
                    answers = [_generation(row) for row in said["answers"]]
                    done |= {(each.question_id, each.sample) for each in answers}
                    yield answers
                elif "error" in said:
                    raise _error(said)
                elif "peak_memory_bytes" in said:
                    self.peak_memory_bytes = max(self.peak_memory_bytes, int(said["peak_memory_bytes"]))
                    self.slow = self.slow or said["slow"]
                    del working[shard]
            whole = True
        finally:
            if not whole:  # a process may be at work on what nobody waits for any more
                self.close()

    def close(self) -> None:
        for shard in self._shards:
            shard.close()

    def _ask(self, shard: ShardProcess, share: Sequence[Question], decoding: SamplingParams, done: set[Any]) -> None:
        if not shard.alive:
            shard.start()
        ids = {question.id for question in share}
        shard.ask(share, decoding, [key for key in sorted(done) if key[0] in ids])

    def _ask_again(
        self, shard: ShardProcess, share: Sequence[Question], decoding: SamplingParams, done: set[Any]
    ) -> None:
        samples = range(decoding.samples_per_question)
        left = [each for each in share if any((each.id, sample) not in done for sample in samples)]
        self._start_again(shard, f"with {len(left)} of its {len(share)} questions not answered")
        self._ask(shard, share, decoding, done)

    def _start_again(self, shard: ShardProcess, when: str) -> None:
        how, log = shard.ended()
        if shard.starts >= _MOST_STARTS:
            raise ModelError(f"{shard.name} {how} again, {when}; run again to go on from there. Its last lines:", *log)
        self._say(f"{shard.name} {how}, {when}; it is started again")
        shard.start()


def dealt(questions: Sequence[Question], processes: int) -> list[list[Question]]:
    """Each process's questions, every question once; the longest prompts first and in turn."""

    def length(question: Question) -> int:
        return sum(len(turn["content"]) for turn in question.prompt)

    ordered = sorted(questions, key=length, reverse=True)
    return [ordered[number::processes] for number in range(processes)]


def _error(said: dict[str, Any]) -> HarnessError:
    """What the user can mend, in the process's own words."""
    kind: type[HarnessError] = getattr(errors, said["kind"], ModelError)
    return kind(said["error"])


def _generation(row: dict[str, Any]) -> Generation:
    return Generation(**{**row, "prompt": tuple(row["prompt"])})
