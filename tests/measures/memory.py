"""Peak resident memory of an evaluation and of a report, against the bytes of their records on disk.

    python tests/measures/memory.py             # a table, for 1,000 and 20,000 made-up records
    python tests/measures/memory.py evaluation 20000

Each is measured in a process of its own (Linux: ``VmHWM``), over what the process holds before: its imports, and for
the report a first tiny page. No model is asked: answers are made up as they are wanted.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "report")]

SIZES = (1_000, 20_000)
SPEECH = "we add the two numbers then take half of what is left and so the answer must be near that"
SYSTEM = "Work out the answer step by step and put it in \\boxed{}."


def measure(what: str, records: int) -> dict[str, int]:
    """``{"records", "disk", "memory"}`` in bytes, measured in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, what, str(records)], capture_output=True, text=True, check=True, timeout=600
    )
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def growth(what: str, sizes: Sequence[int] = SIZES) -> tuple[float, list[dict[str, int]]]:
    """Bytes of memory for a byte more on disk, between the smallest and the largest size; and what was measured."""
    found = [measure(what, records) for records in sizes]
    more = {name: found[-1][name] - found[0][name] for name in ("memory", "disk")}
    return more["memory"] / more["disk"], found


def said(question: str, sample: int) -> str:
    """A completion of about 90 words, another one for each question and sample."""
    words = random.Random(f"{question}/{sample}")
    return " ".join(words.choices(SPEECH.split(), k=90)) + f" \\boxed{{{words.randrange(10)}}}"


class Engine:
    """Answers at once, sixteen at a time."""

    name = model = "made-up"
    device = "cpu"

    def answer(self, questions: Sequence[Any], decoding: Any, skip: Collection[tuple[str, int]] = ()) -> Iterator[Any]:
        from harness.store.records import Generation

        batch = []
        for question in questions:
            for sample in range(decoding.samples_per_question):
                if (question.id, sample) not in skip:
                    text = said(question.id, sample)
                    batch.append(Generation(question.id, sample, 0, question.prompt, text, "stop", 60, len(text) // 4))
                if len(batch) == 16:
                    yield batch
                    batch = []
        yield batch

    def close(self) -> None:
        """Nothing is held."""


def evaluation(folder: Path, records: int) -> tuple[int, list[Path]]:
    """An evaluation as a session makes it: in looks, some answers found in another run, verdict numbers at the end."""
    from harness.pipeline.evaluate import EarlyStop, evaluate
    from harness.pipeline.fingerprint import Keys
    from harness.store.records import SamplingParams
    from harness.tasks import Question

    def questions(count: int) -> list[Question]:
        system = {"role": "system", "content": SYSTEM}
        texts = (f"{said(str(n), -1)[:150]}: what is {n} and {n}?" for n in range(count))
        return [
            Question(f"made-up/test/{n}", text, str(n % 10), "test", prompt=(system, {"role": "user", "content": text}))
            for n, text in enumerate(texts)
        ]

    def run(name: str, count: int, others: Sequence[Path] = ()) -> Any:
        made = evaluate(
            folder / name / "before",
            questions(count),
            {"boxed_numeric": 1.0},
            SamplingParams(),
            Keys(f"{name} {count}", f"grades {count}", "policy", "graders"),
            open_engine=Engine,
            others=others,
            early=EarlyStop([*range(64, count, 64), count], lambda means, asked: False),
        )
        assert len(made.means) == count
        return made

    run("warm", 100)
    before = resident()
    run("a", records // 2)
    run("b", records, [folder / "a" / "before"])
    return before, [folder / "b" / "before" / "records.jsonl"]


def report(folder: Path, records: int) -> tuple[int, list[Path]]:
    """The pages of a run, with as many records on both sides together."""
    from made_up_runs import MadeUp, write_run

    from harness.report.render import render_session

    def speech(side: str, index: int, sample: int) -> str:
        return said(f"{side}/{index}", sample)

    render_session([write_run(folder / "warm", MadeUp(questions=20, speech=speech))], folder / "warm-report")
    subprocess.run([sys.executable, __file__, "write", str(records), str(folder / "run")], check=True)
    (run,) = (folder / "run").iterdir()
    before = resident()
    render_session([run], folder / "report")
    return before, [run / side / "records.jsonl" for side in ("before", "after")]


def write(folder: Path, records: int) -> None:
    """A made-up run, written by a process of its own: what that takes is none of the report's."""
    from made_up_runs import MadeUp, write_run

    write_run(
        folder, MadeUp(questions=records // 2, steps=50, speech=lambda *which: said(f"{which[0]}/{which[1]}", which[2]))
    )


def resident(peak: bool = False) -> int:
    """Bytes that this process holds, or the most that it has held since this was last asked for without ``peak``."""
    import gc

    if not peak:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def main() -> None:
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[3]), int(sys.argv[2]))
        return
    if len(sys.argv) == 3:
        with tempfile.TemporaryDirectory() as folder:
            before, files = {"evaluation": evaluation, "report": report}[sys.argv[1]](Path(folder), int(sys.argv[2]))
            found = {"disk": sum(path.stat().st_size for path in files), "memory": resident(peak=True) - before}
        print(json.dumps({"records": int(sys.argv[2]), **found}))
        return
    for what in ("evaluation", "report"):
        ratio, found = growth(what)
        for each in found:
            print(
                f"{what:<10} {each['records']:>6,} records: {each['disk'] / 2**20:6.1f} MiB on disk, "
                f"{each['memory'] / 2**20:6.1f} MiB of memory"
            )
        print(f"{what:<10} {ratio:.2f} bytes of memory for a byte more on disk")


if __name__ == "__main__":
    main()
