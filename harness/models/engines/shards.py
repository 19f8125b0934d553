"""Several processes that answer together: each is asked every n-th question by an engine of its own.

    engine = Shards(source, "transformers", {}, device="cuda", dtype="bfloat16", processes=8).open()
    for answers in engine.answer(questions.test, SamplingParams()):
        ...

On GPUs each process has one; on a CPU each has its part of the cores. Who answers has no say in an answer. The
processes (``python -m harness.models.engines.shards``) stay for the next questions until the engine is closed. Objects
are pickled both ways: what to open and then what to answer on standard input, and on standard output what :func:`main`
tells. What they print goes to a file, whose end is shown if one dies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.models.processes import end_with_parent, environment, gpus_for, python_path
from harness.store.errors import HarnessError, ModelError
from harness.store.redact import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from harness.models.source import ModelSource
    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams

_END_SECONDS = 10.0
_LOG_LINES = 15


class Shards:
    """An engine (:class:`harness.models.engines.base.Engine`) of ``processes`` processes.

    ``peak_memory_bytes`` is the most that one of them has held, ``slow`` as of ``TransformersEngine``.

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
    ) -> None:
        self.name, self.model, self.device = engine, source.name, device
        self.peak_memory_bytes = 0
        self.slow: str | None = None
        where = {"device": device, "dtype": dtype, "chat_template_kwargs": dict(chat_template_kwargs or {})}
        self._opening = source, engine, dict(arguments), where
        gpus = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus_for(processes)] if device == "cuda" else [{}] * processes
        self._around = [environment(python_path(), device, processes) | gpu for gpu in gpus]
        self._workers: list[_Worker] = []

    def open(self) -> Shards:
        """Start the processes and wait until each has loaded the model: what comes then is answering alone.

        Raises:
            ModelError: the model cannot be loaded, or a process has died.
        """
        count = len(self._around)
        self._workers = [_Worker(f"evaluation process {n} of {count}", each) for n, each in enumerate(self._around, 1)]
        try:
            for worker in self._workers:
                worker.send(self._opening)
            for worker in self._workers:
                worker.receive()
        except BaseException:
            self.close()
            raise
        return self

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        """As the protocol says.

        Raises:
            ModelError: also where a process dies; what was answered is the caller's, and asking again starts new ones.
        """
        done, samples = set(skip), range(decoding.samples_per_question)
        asked = [each for each in questions if any((each.id, sample) not in done for sample in samples)]
        if not self._workers:
            self.open()
        shares = [(worker, asked[rank :: len(self._workers)]) for rank, worker in enumerate(self._workers)]
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for worker, share in shares:
            threading.Thread(target=worker.ask, args=((share, decoding, done), heard.put), daemon=True).start()
        working = len(shares)
        try:
            while working:
                said = heard.get()
                if isinstance(said, HarnessError):
                    raise said
                if isinstance(said, list):
                    yield said
                else:
                    peak, slow = said
                    self.peak_memory_bytes, self.slow = max(self.peak_memory_bytes, peak), self.slow or slow
                    working -= 1
        finally:
            if working:  # a process may be at work on what nobody waits for any more
                self.close()

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._workers = []


class _Worker:
    """One of the processes, seen from the one that asks."""

    def __init__(self, name: str, around: Mapping[str, str]) -> None:
        self._name, self._log = name, tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the process has died)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.models.engines.shards"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=around,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    def send(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # it has died, and what is received next says so
            pickle.dump(message, self._input)
            self._input.flush()

    def receive(self) -> Any:
        """What it tells next.

        Raises:
            HarnessError: what it says is wrong, or that it has died, and how.
        """
        try:
            said = pickle.load(self._output)
        except (EOFError, pickle.UnpicklingError, ValueError):  # torn by a kill, or closed by us
            said = self._ended()
        if isinstance(said, HarnessError):
            raise said
        return said

    def ask(self, asked: Any, tell: Callable[[Any], None]) -> None:
        """Have questions answered: lists of answers are told as they come, and at the end what it cost, or an error."""
        try:
            self.send(asked)
            while isinstance(said := self.receive(), list):
                tell(said)
            tell(said)
        except HarnessError as error:
            tell(error)

    def _ended(self) -> ModelError:
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(0)
        lines = safe_text(self._log.read().decode("utf-8", errors="replace")).splitlines()
        said = [f"    {line}" for line in lines[-_LOG_LINES:]]
        return ModelError(f"{self._name} {how}; run again to go on from there. Its last lines:", *said)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._input.close()


def main() -> None:
    """Answer for another process. It is told ``"ready"`` when the model is loaded, then for each request some lists of
    answers and ``(most bytes of memory, why slow)``; or a ``HarnessError``, which ends this process."""
    end_with_parent(lambda: os._exit(1), reads_input=True)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(message: Any) -> None:
        pickle.dump(message, output)
        output.flush()

    from harness.models.device import peak_memory
    from harness.models.engines import open_engine
    from harness.models.load import load_policy

    try:
        source, name, arguments, where = pickle.load(sys.stdin.buffer)
        engine = open_engine(name, arguments, lambda: load_policy(source, **where), source, **where)
        tell("ready")
        while asked := _next(sys.stdin.buffer):
            for answers in engine.answer(*asked):
                tell(answers)
            tell((peak_memory(engine.device), getattr(engine, "slow", None)))
    except HarnessError as error:
        tell(error)


def _next(stream: BinaryIO) -> Any:
    """The next object; ``None`` where whoever asks has gone."""
    try:
        return pickle.load(stream)
    except EOFError:
        return None


if __name__ == "__main__":
    main()
