"""What every task hands to the rest of the flow: frozen questions in two disjoint splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from harness.store.files import Stored

if TYPE_CHECKING:
    Message = Mapping[str, str]
else:

    class Message(TypedDict):
        """One chat turn: ``{"role": "system" | "user" | "assistant", "content": text}``."""

        role: str
        content: str


GIVEN = frozenset(
    {
        *("prompts", "completions", "ground_truth", "question", "question_id", "completion_ids", "completion_tokens"),
        *("trainer_state", "log_extra", "log_metric", "environments"),
    }
)
"""What every reward function is called with anyway: a column of such a name is not seen."""


@dataclass(frozen=True, slots=True)
class Question(Stored):
    """One question of a task; the test questions of a run are ``questions.jsonl``.

    ``ground_truth`` is the final answer alone, as written by the task but without dressing (``"1200"``, not
    ``"#### 1,200"``). ``solution`` is a worked answer, used for few-shot examples and for supervised data, or ``None``
    where the task has none; :func:`harness.tasks.load_questions` gives it in the form that the recipe's rewards read.
    ``prompt`` is the whole chat that a policy is asked, empty until that function fills it in. ``columns`` are those of
    its row that a reward function asks for, by name, as JSON has them; ``None`` where another row has one.
    """

    id: str
    text: str
    ground_truth: str
    split: str
    solution: str | None = None
    prompt: tuple[Message, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of how many questions a source has (``rows``), how many are left out: ``same`` of the training split have the
    text of a test question and are not trained on, ``again`` of the test split have that of another and are asked once.
    """

    rows: int
    same: int
    again: int


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of one recipe, in their fixed order: ``train`` is asked in training, ``test`` in evaluation.

    ``held_out`` are of the training split too, but never trained on: the evaluation during training asks them.
    ``counts`` is of the source, where that is a file, a folder or a dataset; ``source`` is the latter's id and commit.
    ``columns`` are the names of all that its rows have.
    """

    train: tuple[Question, ...]
    test: tuple[Question, ...]
    held_out: tuple[Question, ...] = ()
    counts: Counts | None = None
    source: str | None = None
    columns: tuple[str, ...] = ()
