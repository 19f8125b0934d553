r"""What a grader is, and how it becomes a TRL reward function.

A grader is a function ``(completion, ground_truth) -> Grade``. The reward function made from it carries it as
``.grade``, so that training, gating and reporting judge an answer by the same code. It is given what a completion says
behind its thought, and may say in which form it reads answers (:mod:`harness.tasks.forms`):

    >>> def says_yes(completion: str, ground_truth: str) -> Grade:
    ...     return Grade(extracted=completion, correct="yes" in completion)
    >>> reward = reward_function(says_yes)
    >>> reward(prompts=["?", "?"], completions=["yes", "no"], ground_truth=["yes", "yes"])
    [1.0, 0.0]
    >>> reward.grade("<think>yes</think> no", "yes").status
    'wrong'
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, cast

from harness.store.errors import RewardError
from harness.tasks.forms import FORMS, OPENING, behind_thought, opened_by

if TYPE_CHECKING:
    from harness.store.records import Status


@dataclass(frozen=True, slots=True)
class Grade:
    """``extracted``: the answer found, ``None`` where there is none. ``correct``: ``None`` where it was not decided.
    ``worth`` is the reward of a grader that pays an answer in part."""

    extracted: str | None
    correct: bool | None
    worth: float | None = field(default=None, repr=False)

    @property
    def status(self) -> Status:
        """The grade as one of the four words that records and reports use."""
        if self.correct is None:
            return "unscored"
        if self.correct:
            return "correct"
        return "no_answer" if self.extracted is None else "wrong"

    @property
    def reward(self) -> float | None:
        """1.0 correct, 0.0 wrong or without an answer, or what it is worth; ``None`` undecided (TRL leaves such a
        completion out)."""
        if self.correct is None:
            return None
        return float(self.correct) if self.worth is None else self.worth


Grader = Callable[..., Grade]
"""``(completion, ground_truth) -> Grade``; it raises nothing, whatever a model writes. Further parameters are columns
of the question's row. Where a right answer is not written as the ground truth is, ``gold(ground_truth, **row)`` writes
it."""


class RewardFunction(Protocol):
    """TRL's signature. ``columns`` holds every further dataset column, one value per completion."""

    @property
    def __name__(self) -> str: ...

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]: ...


class GradingRewardFunction(RewardFunction, Protocol):
    """A reward function that says how it judged: ``.grade(completion, ground_truth)``. ``form`` is that in which it
    reads answers, one of :data:`harness.tasks.forms.FORMS`, or ``None``."""

    @property
    def grade(self) -> Grader: ...

    @property
    def form(self) -> str | None: ...


def reward_function(grader: Grader, name: str | None = None, form: str | None = None) -> GradingRewardFunction:
    """The TRL reward function of a grader, called ``name`` (the grader's own name if left out) in logs.

    It reads the dataset column ``ground_truth`` (text, or a number; ``None`` where the reward does not apply) and
    gives each completion ``Grade.reward``. The grader sees what a completion says behind its thought; an unfinished
    thought leaves it ``""``. Parameters of the grader behind these two are columns that the reward function takes, and
    the grader is given the value of the question. ``form`` says how answers are written for it: the prompt asks for
    that form, and examples and worked solutions are shown in it.

    Raises ``RewardError`` for an unknown ``form``, and, when called, where a column is missing
    or the length of ``ground_truth`` is not that of the completions.
    """
    label = name if name is not None else str(getattr(grader, "__name__", type(grader).__name__))
    if form is not None:
        check_form(label, form)

    asked = _columns_of(grader)

    def grade(completion: str, ground_truth: str, **row: Any) -> Grade:
        return grader(behind_thought(completion), ground_truth, **row)

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        truths = ground_truths(label, completions, columns)
        texts = turn_texts(prompts, completions)
        for each in asked:
            if each.default is each.empty and each.name not in columns:
                raise RewardError(f'reward function {label} needs the dataset column "{each.name}"; {_have(columns)}')
        own = [each.name for each in asked if each.name in columns]
        rows = ({name: columns[name][row] for name in own} for row in range(len(texts)))
        return [
            None if truth is None else grade(text, truth, **row).reward
            for text, truth, row in zip(texts, truths, rows, strict=True)
        ]

    # Logs, pickling and error messages should point at the module that defines the grader.
    reward.__name__ = reward.__qualname__ = label
    reward.__module__ = grader.__module__
    reward.__doc__ = grader.__doc__
    reward.grade, reward.form = grade, form  # type: ignore[attr-defined]
    reward.gold = getattr(grader, "gold", None)  # type: ignore[attr-defined]
    # What they take, for who gives a function no more than that.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for function, first in ((reward, ("prompts", "completions", "ground_truth")), (grade, ("completion", "truth"))):
        parameters = [*(inspect.Parameter(name, kind) for name in first), *asked]
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[union-attr]
    return cast("GradingRewardFunction", reward)


def configurable(make: Callable[..., Grader], form: str | None = None) -> GradingRewardFunction:
    """The TRL reward function of the graders that ``make`` gives for a recipe's parameters, which are its keywords; it
    is called what ``make`` is. ``.configured(**parameters)`` is the reward function with these, and without parameters
    of its own: a column of such a name is nothing to it.

    >>> def says(*, word="yes"):
    ...     return lambda completion, ground_truth: Grade(extracted=completion, correct=word in completion)
    >>> reward = configurable(says)
    >>> reward(["?"], ["no"], ground_truth=["-"]), reward(["?"], ["no"], ground_truth=["-"], word="no")
    ([0.0], [1.0])
    >>> reward.configured(word="no").grade("no", "-").status
    'correct'
    """
    label, own = make.__name__, list(inspect.signature(make).parameters.values())

    def configured(**parameters: Any) -> GradingRewardFunction:
        return reward_function(make(**parameters), label, form)

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        parameters = {each.name: columns.pop(each.name) for each in own if each.name in columns}
        return configured(**parameters)(prompts, completions, **columns)

    reward.__name__ = reward.__qualname__ = label
    reward.__module__, reward.__doc__ = make.__module__, make.__doc__
    plain = configured()
    reward.grade, reward.form, reward.configured = plain.grade, form, configured  # type: ignore[attr-defined]
    # A column is no parameter of a recipe's: those are the keyword-only ones.
    kinds = inspect.Parameter
    rows = [each.replace(kind=kinds.POSITIONAL_OR_KEYWORD) for each in _columns_of(make())]
    first = [kinds(name, kinds.POSITIONAL_OR_KEYWORD) for name in ("prompts", "completions", "ground_truth")]
    signature = inspect.Signature([*first, *rows, *own, kinds("columns", kinds.VAR_KEYWORD)])
    reward.__signature__ = signature  # type: ignore[attr-defined]
    return cast("GradingRewardFunction", reward)


def configured(function: RewardFunction, parameters: Mapping[str, Any]) -> RewardFunction:
    """A recipe's reward function, one of :func:`configurable` with its parameters."""
    make: Callable[..., RewardFunction] | None = getattr(function, "configured", None)
    return function if make is None else make(**parameters)


def _columns_of(grader: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a grader behind the completion and the ground truth."""
    try:
        more = list(inspect.signature(grader).parameters.values())[2:]
    except (TypeError, ValueError):  # some callables of C have none
        return []
    kinds = inspect.Parameter
    named = [each for each in more if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    return [each.replace(kind=kinds.KEYWORD_ONLY) for each in named]


def turn_texts(prompts: Sequence[Any], completions: Sequence[Any]) -> list[str]:
    """Each completion as the text of a whole turn: where a prompt that is text ends in ``<think>``, with it. Of prompts
    that are chats, a template's ``<think>`` cannot be seen here."""
    texts = [completion_text(completion) for completion in completions]
    for row, prompt in enumerate(prompts[: len(texts)]):
        if isinstance(prompt, str) and not texts[row].startswith(OPENING):
            texts[row] = opened_by(prompt) + texts[row]
    return texts


def completion_text(completion: object) -> str:
    """The assistant's words in either of TRL's formats: plain text, or a list of chat messages.

    Of a conversation only the assistant's messages count, joined by line breaks: an answer that a tool printed is not
    the policy's. Raises ``RewardError`` for anything else.
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and all(isinstance(message, Mapping) for message in completion):
        spoken = (message.get("content") for message in completion if message.get("role") == "assistant")
        return "\n".join(_content_text(content) for content in spoken if content is not None)
    raise RewardError(f"a completion must be text or a list of chat messages, not {_kind(completion)}")


def ground_truths(name: str, completions: Sequence[object], columns: Mapping[str, object]) -> list[str | None]:
    """The column ``ground_truth`` as text, one per completion; ``name`` is the reward function's, for the message."""
    if "ground_truth" not in columns:
        raise RewardError(f'reward function {name} needs the dataset column "ground_truth"; {_have(columns)}')
    column = columns["ground_truth"]
    if isinstance(column, str) or not isinstance(column, Sequence):
        raise RewardError(f'reward function {name}: column "ground_truth" must be a list, not {_kind(column)}')
    if len(column) != len(completions):
        raise RewardError(
            f'reward function {name}: column "ground_truth" has {len(column)} values for {len(completions)} completions'
        )
    return [_truth_text(name, row, value) for row, value in enumerate(column)]


def _have(columns: Mapping[str, object]) -> str:
    present = sorted(key for key, value in columns.items() if isinstance(value, (list, tuple)))
    return f"it has {', '.join(present)}" if present else "it has none besides the prompts"


def _truth_text(name: str, row: int, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RewardError(f'reward function {name}: "ground_truth" of row {row} must be text, not {_kind(value)}')


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):  # a list of typed parts, as multimodal chat templates take them
        return "".join(
            str(part.get("text", "")) for part in content if isinstance(part, Mapping) and part.get("type") == "text"
        )
    raise RewardError(f"the content of a chat message must be text, not {_kind(content)}")


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def form_of(functions: Mapping[str, Any]) -> str | None:
    """The form that a recipe's reward functions (by name) read, ``None`` where they do not say.

    It is that of the first function that grades, or else of the first that says one. Where one of the others pays for
    a thought before the tags, that belongs to it.
    """
    said = {name: form for name, each in functions.items() if (form := getattr(each, "form", None)) is not None}
    for name, form in said.items():
        check_form(name, form)
    graders = [name for name, each in functions.items() if callable(getattr(each, "grade", None))]
    form = said.get(graders[0]) if graders else next(iter(said.values()), None)
    return "thought" if form == "tags" and "thought" in said.values() else form


def check_form(name: str, form: str) -> None:
    """Raises ``RewardError`` where the reward function called ``name`` says an unknown form."""
    if form not in FORMS:
        close = get_close_matches(str(form), FORMS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"write one of {', '.join(FORMS)}"
        raise RewardError(f"reward function {name}: there is no form {form!r}; {hint}")
