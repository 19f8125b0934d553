"""Baselines: a committed evaluation that later runs are held against, one small TOML file per recipe and seed.

    recipe = "tiny-arithmetic"
    seed = 0
    samples = 1
    ...
    checksum = "5c1e..."

    [questions]                       # in the fixed order in which they are asked
    "arithmetic/test/310bc60b746e" = { correct = 1, content = "9f86d081" }

One line a question keeps a pull request's diff readable: it shows which questions were won and lost. ``content`` is a
hash of the question and its ground truth, so a changed question is noticed though its id stayed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w

from harness.store.errors import HarnessError
from harness.store.question import Question
from harness.store.run_directory import digest, write_toml

HEADING = "# Recorded by pytest --rl-update-baselines; do not edit: the checksum would not match.\n"


class BaselineError(HarnessError):
    """A baseline file that is there but cannot be used: torn, edited by hand, or another recipe's."""


@dataclass(frozen=True)
class Baseline:
    """What a policy could do when it was accepted.

    ``correct`` maps question ids, in the order they are asked, to how many of ``samples`` answers were right; one with
    an answer that has no grade is left out. ``content`` maps all of them to hashes of the questions. It,
    ``prompt``, ``chat_template_kwargs`` (what the chat template was told), ``grader``, ``engine`` and ``decoding`` must
    be a run's own to be comparable; ``versions``, ``commit``, ``date``, ``model`` and ``recipe_toml`` (the effective
    recipe that the policy was trained with) are for people.
    """

    recipe: str
    seed: int
    samples: int
    prompt: str
    grader: str
    engine: str
    decoding: Mapping[str, Any]
    versions: Mapping[str, str | None]
    commit: str
    date: str
    model: str
    correct: Mapping[str, int]
    content: Mapping[str, str]
    recipe_toml: str
    chat_template_kwargs: Mapping[str, Any]

    @property
    def accuracy(self) -> float:
        return sum(self.correct.values()) / (self.samples * len(self.correct))

    @property
    def shares(self) -> dict[str, float]:
        """The share of right answers by question."""
        return {question: right / self.samples for question, right in self.correct.items()}


def question_content(question: Question) -> str:
    """Eight hex digits that change with the question's text or ground truth, or with what else decides its grade."""
    columns = [question.columns] if question.columns else []
    return digest([question.text, question.ground_truth, *columns])[:8]


def prompt_fingerprint(questions: Sequence[Question]) -> str:
    """Hash of the turns before the question: system prompt and worked examples."""
    return digest(sorted({digest(list(question.prompt[:-1])) for question in questions}))[:16]


def write_baseline(path: Path, baseline: Baseline) -> None:
    header, questions = _tables(baseline)
    text = tomli_w.dumps({**header, "checksum": _checksum(header, questions)}, multiline_strings=True)
    lines = "".join(
        f'{_key(question)} = {{ {_count(row)}content = "{row["content"]}" }}\n' for question, row in questions.items()
    )
    write_toml(path, f"{HEADING}{text}\n[questions]\n{lines}")


def read_baseline(path: Path, recipe: str) -> Baseline:
    """Read a baseline back.

    Raises:
        BaselineError: the file is torn, was edited, or belongs to another recipe.
        FileNotFoundError: there is none.
    """
    try:
        baseline, unchanged = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, OSError | ValueError) else "keys are missing, or of another type"
        raise BaselineError(
            f"{path}: torn or not a baseline ({why}); "
            "restore it from version control or record it again with --rl-update-baselines all"
        ) from None
    if not unchanged:
        raise BaselineError(
            f"{path}: was edited by hand (its checksum does not match); "
            "restore it from version control or record it again with --rl-update-baselines all"
        )
    if baseline.recipe != recipe:
        raise BaselineError(f"{path}: is the baseline of recipe {baseline.recipe}, not of {recipe}")
    if not baseline.correct:
        raise BaselineError(f"{path}: holds no questions; record it again with --rl-update-baselines all")
    return baseline


@lru_cache(maxsize=32)  # a session plans by it, looks while it asks, and judges
def _parsed(text: str) -> tuple[Baseline, bool]:
    """The baseline, and whether its checksum matches."""
    tables = tomllib.loads(text)
    checksum, questions = tables.pop("checksum"), tables.pop("questions")
    baseline = Baseline(
        **tables,
        correct={question: row["correct"] for question, row in questions.items() if "correct" in row},
        content={question: row["content"] for question, row in questions.items()},
    )
    return baseline, checksum == _checksum(*_tables(baseline))


def own_path(folder: Path, recipe: str, seed: int) -> Path:
    """Where the baseline of a recipe and seed is recorded."""
    return folder / f"{recipe}-{seed}.toml"


def find_baseline(folder: Path, recipe: str, seed: int) -> Path:
    """The file of a recipe and seed, or else of the recipe's lowest seed that has one; it may not exist."""
    own = own_path(folder, recipe, seed)
    if own.exists():
        return own
    others = {
        int(suffix): path
        for path in folder.glob(f"{recipe}-*.toml")
        if (suffix := path.stem.removeprefix(f"{recipe}-")).isdigit()
    }
    return others[min(others)] if others else own


def differences(baseline: Baseline, run: Baseline) -> list[str]:
    """What makes a run incomparable with a baseline, in words; empty where nothing does.

    A run may ask fewer questions: the first ones of the baseline's order.
    """
    found = []
    if baseline.prompt != run.prompt:
        found.append("the prompt (system prompt or worked examples)")
    if (told := baseline.chat_template_kwargs) != run.chat_template_kwargs:
        found.append(f"the prompt (chat_template_kwargs {dict(told)} → {dict(run.chat_template_kwargs)})")
    if baseline.grader != run.grader:
        found.append(f"the grader ({baseline.grader} → {run.grader})")
    if baseline.engine != run.engine:
        found.append(f"the engine ({baseline.engine} → {run.engine})")
    changed = [
        f"{key} {baseline.decoding.get(key)} → {run.decoding.get(key)}"
        for key in sorted({*baseline.decoding, *run.decoding})
        if baseline.decoding.get(key) != run.decoding.get(key)
    ]
    if changed:
        found.append(f"the decoding ({', '.join(changed)})")
    asked, recorded = list(run.content.items()), list(baseline.content.items())
    other = [new[0] for new, old in zip(asked, recorded, strict=False) if new != old]
    if len(asked) > len(recorded):
        found.append(f"the questions ({len(asked)} asked, {len(recorded)} before)")
    elif other:
        found.append(f"the questions ({len(other)} of {len(asked)} differ, first {other[0]})")
    return found


def _tables(baseline: Baseline) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    header = asdict(baseline)
    correct, content = header.pop("correct"), header.pop("content")
    header["versions"] = {name: version for name, version in header["versions"].items() if version is not None}
    counts = {question: {"correct": correct[question]} if question in correct else {} for question in content}
    return header, {question: {**counts[question], "content": content[question]} for question in content}


def _checksum(header: Mapping[str, Any], questions: Mapping[str, Any]) -> str:
    # Order matters: it is the order in which questions are asked.
    return digest([header, list(questions.items())])


def _count(row: Mapping[str, Any]) -> str:
    return f"correct = {row['correct']}, " if "correct" in row else ""


def _key(name: str) -> str:
    """A TOML key of any text, escaped where it must be."""
    return tomli_w.dumps({name: 0}).rsplit(" = ", 1)[0]
