"""A canary: 8 questions answered one at a time and in the batches that the evaluation uses. They must be the same.

A batch changes no answer but for rounding: where two tokens score nearly alike, another order of sums may choose the
other one. Anything else (a mask, a position, a cache row) is a fault of engine, driver or model, and would stand in
every record. So each difference is looked up: at the first token that differs, a plain forward pass says how far apart
the two tokens' log-probabilities are; under :data:`TIES` it is a tie.

Greedy answers of an evaluation are compared as they are, so only the answers one at a time cost something: 8 times
:data:`MOST_TOKENS` steps, once for a model's shape, engine and device, since a fault of that kind does not depend on
the weights. Set ``[engine] canary = false`` to leave it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.store.errors import HarnessError
from harness.store.redact import clean_data

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.models.engines import Engine
    from harness.recipe import EvaluateSection
    from harness.store.question import Question
    from harness.store.records import Generation

QUESTIONS = 8
MOST_TOKENS = 24
_TOGETHER = 64  # questions of a batch where nobody says its size and the evaluation's own answers are sampled ones

# Differences of log-probabilities, by dtype of the weights. Scores of 16 to 32 lie 2e-6, 0.016 and 0.125 apart in
# these, and each is a sum of sums.
TIES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}


def chosen(questions: Sequence[Question]) -> list[Question]:
    """The canary's questions: by a hash of their ids, so the same ones whatever their order."""
    return sorted(questions, key=lambda each: hashlib.sha256(each.id.encode()).digest())[:QUESTIONS]


def run_canary(
    engine: Engine,
    policy: Policy | None,
    questions: Sequence[Question],
    decoding: EvaluateSection,
    answered: Mapping[str, Generation],
) -> dict[str, Any]:
    """Ask, compare, and say what was found; ``canary.json``.

    ``answered`` are the evaluation's own answers by question id, empty where they are not greedy. Without ``policy``
    there are no scores here, and texts alone are compared.
    """
    few = chosen([each for each in questions if not answered or each.id in answered])
    most = min(MOST_TOKENS, decoding.max_new_tokens)
    greedy = decoding.model_copy(update={"temperature": 0.0, "samples_per_question": 1, "max_new_tokens": most})
    found: dict[str, Any] = {
        "format": 1,
        "engine": engine.name,
        "model": engine.model,
        "device": engine.device,
        "dtype": policy.dtype if policy else None,
        "tolerance": TIES.get(policy.dtype) if policy else None,
        "max_new_tokens": most,
        "batch_size": decoding.batch_size,
    }
    try:
        alone = _ask(engine, few, greedy.model_copy(update={"batch_size": 1}))
        together = dict(answered) or _ask(engine, _batch(few, questions, greedy), greedy)
    except HarnessError as error:
        return {**found, "questions": 0, "level": "unknown", "sentence": f"the canary could not be asked: {error}"}
    both = [each for each in few if each.id in alone and each.id in together]
    rows = [_compare(policy, each, alone[each.id], together[each.id]) for each in both]
    counts = {word: sum(row["outcome"] == word for row in rows) for word in ("same", "tie", "different")}
    told = [row for row in rows if row["outcome"] != "same"]
    level = "ok" if not counts["different"] else "warning" if policy else "texts"
    sentence = _sentence(len(both), counts, told, found["tolerance"])
    return {**found, "questions": len(both), **counts, "answers": told, "level": level, "sentence": sentence}


def _ask(engine: Engine, questions: Sequence[Question], decoding: EvaluateSection) -> dict[str, Generation]:
    answers = (answer for batch in engine.answer(questions, decoding) for answer in batch)
    return {answer.question_id: answer for answer in answers if answer.error is None}


def _batch(few: Sequence[Question], questions: Sequence[Question], decoding: EvaluateSection) -> list[Question]:
    """The few among as many others as a batch has."""
    size = decoding.batch_size if isinstance(decoding.batch_size, int) else _TOGETHER
    others = [each for each in questions if each not in few]
    return [*few, *others[: max(0, size - len(few))]]


def _compare(policy: Policy | None, question: Question, alone: Generation, together: Generation) -> dict[str, Any]:
    if _same(alone, together):
        return {"question_id": question.id, "outcome": "same"}
    texts = {"question_id": question.id, "alone": alone.completion, "together": clean_data(together.completion)[:1000]}
    if policy is None:
        return {**texts, "outcome": "different"}
    prompt = policy.encode(question.prompt)
    at, gap = parting(policy, prompt, alone.completion, together.completion)
    if at == len(_ids(policy, alone.completion)) and alone.finish_reason == "length":
        return {"question_id": question.id, "outcome": "same"}  # cut within a word
    outcome = "tie" if gap <= TIES[policy.dtype] else "different"
    return {**texts, "outcome": outcome, "token": at, "gap": gap}


def parting(policy: Policy, prompt: Sequence[int], first: str, second: str) -> tuple[int, float]:
    """Where two answers to a prompt (token ids) part: after how many tokens, and how far apart the log-probabilities of
    the two next tokens are, by a forward pass over that one sequence. Under :data:`TIES` it is a tie."""
    one, other = _ids(policy, first), _ids(policy, second)
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(one), len(other)) if at is None else at
    return at, _gap(policy, [*prompt, *one[:at]], _token(one, at), _token(other, at))


def _same(alone: Generation, together: Generation) -> bool:
    """One answer; the one asked alone may have been cut off earlier, perhaps within a character."""
    if alone.finish_reason == "length":
        return together.completion.startswith(alone.completion.rstrip("\ufffd"))
    return alone.completion == together.completion


def _ids(policy: Policy, text: str) -> list[int]:
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _token(ids: Sequence[int], at: int) -> int | None:
    """The token at a place; ``None`` is the end."""
    return ids[at] if at < len(ids) else None


def _gap(policy: Policy, before: Sequence[int], first: int | None, second: int | None) -> float:
    """How far apart the log-probabilities of two next tokens are, by one forward pass over what stands before them."""
    import torch

    with torch.inference_mode():
        scores = policy.model(input_ids=torch.tensor([list(before)], device=policy.model.device)).logits[0, -1].float()
    shares = scores.log_softmax(dim=-1)
    ends = sorted(policy.eos_token_ids)
    values = [shares[ends].max() if token is None else shares[token] for token in (first, second)]
    return float((values[0] - values[1]).abs())


def _sentence(asked: int, counts: Mapping[str, int], told: Sequence[Mapping[str, Any]], tolerance: float | None) -> str:
    if not told:
        return f"{asked} of {asked} answers are the same one at a time and in a batch"
    start = f"{len(told)} of {asked} answers differ between one at a time and a batch"
    if tolerance is None:
        return f"{start}; only texts can be compared here, so these may be ties of two tokens that score alike"
    widest = max(told, key=lambda row: float(row["gap"]))
    where = f"log-probabilities {widest['gap']:.2g} apart at token {widest['token']} of {widest['question_id']}"
    if not counts["different"]:
        return f"{start}, all in ties: at most {where} (a tie is up to {tolerance:g})"
    return (
        f"{start}, {counts['different']} of them by more than a tie: {where} (a tie is up to {tolerance:g}); "
        "what this engine answers depends on the batch, so compare nothing with it before that is understood"
    )
