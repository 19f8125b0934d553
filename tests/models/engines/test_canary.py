"""The canary finds what depends on the batch, calls a tie a tie, and is asked once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from harness.models.engines import canary
from harness.models.engines.canary import chosen, parting, run_canary
from harness.models.engines.local import TransformersEngine
from harness.pipeline.canary import canary_key, keep_canary
from harness.recipe import EvaluateSection
from harness.store.errors import ModelError
from harness.store.question import Question

pytestmark = pytest.mark.usefixtures("one_thread")

DECODING = EvaluateSection(max_new_tokens=10, batch_size=4)


def answered(engine: Any, questions: Any, decoding: EvaluateSection = DECODING) -> dict[str, Any]:
    return {a.question_id: a for batch in engine.answer(questions, decoding) for a in batch}


class Spoilt(TransformersEngine):
    """Says something else to one question when it is not asked alone."""

    change: Any = staticmethod(lambda text: "" if text else "x")

    def answer(self, questions: Any, decoding: Any, skip: Any = ()) -> Any:
        for batch in super().answer(questions, decoding, skip):
            yield [
                dataclasses.replace(each, completion=self.change(each.completion))
                if decoding.batch_size != 1 and each.question_id == "t/3"
                else each
                for each in batch
            ]


def test_an_engine_that_batches_well_is_the_same(policy, questions):
    engine = TransformersEngine(policy)
    found = run_canary(engine, policy, questions, DECODING, answered(engine, questions))
    assert (found["questions"], found["same"], found["different"], found["level"]) == (7, 7, 0, "ok")
    assert found["sentence"] == "7 of 7 answers are the same one at a time and in a batch"
    assert found["tolerance"] == canary.TIES["float32"]


def test_sampled_evaluations_are_asked_greedily_both_ways(policy, questions):
    sampled = DECODING.model_copy(update={"temperature": 1.0, "samples_per_question": 4})
    assert run_canary(TransformersEngine(policy), policy, questions, sampled, {})["same"] == 7
    assert run_canary(Spoilt(policy), policy, questions, sampled, {})["different"] == 1


def test_two_answers_part_at_a_token_or_at_an_end(policy, questions):
    (answer,) = answered(TransformersEngine(policy), questions[:1]).values()
    prompt, ids = policy.encode(questions[0].prompt), policy.tokenizer(answer.completion)["input_ids"]
    place, gap = parting(policy, prompt, answer.completion, policy.decode(ids[:-1]))
    assert place == len(ids) - 1
    assert gap > canary.TIES["float32"]
    assert parting(policy, prompt, policy.decode(ids[:-1]), answer.completion) == (place, gap)


def test_a_difference_beyond_a_tie_is_found_with_token_and_gap(policy, questions):
    engine = Spoilt(policy)
    found = run_canary(engine, policy, questions, DECODING, answered(engine, questions))
    assert (found["same"], found["tie"], found["different"], found["level"]) == (6, 0, 1, "warning")
    (row,) = found["answers"]
    assert (row["question_id"], row["token"], row["together"]) == ("t/3", 0, "")
    # the gap is that of the two tokens where they part: the one that was said, and an end
    (prompt,) = [each.prompt for each in questions if each.id == "t/3"]
    with torch.inference_mode():
        shares = policy.model(torch.tensor([policy.encode(prompt)])).logits[0, -1].log_softmax(-1)
    said = policy.tokenizer(row["alone"], add_special_tokens=False)["input_ids"][0]
    ends = max(float(shares[end]) for end in policy.eos_token_ids)
    assert row["gap"] == pytest.approx(abs(float(shares[said]) - ends), abs=1e-4)
    assert row["gap"] > found["tolerance"]
    assert "1 of them by more than a tie" in found["sentence"]
    assert "at token 0 of t/3" in found["sentence"]


def test_two_tokens_that_score_alike_are_a_tie(policy, questions, monkeypatch):
    engine = Spoilt(policy)
    monkeypatch.setitem(canary.TIES, "float32", 1000.0)
    found = run_canary(engine, policy, questions, DECODING, answered(engine, questions))
    assert (found["tie"], found["different"], found["level"]) == (1, 0, "ok")
    assert "all in ties" in found["sentence"]


def test_without_scores_texts_are_compared_and_that_is_said(policy, questions):
    engine = Spoilt(policy)
    found = run_canary(engine, None, questions, DECODING, answered(engine, questions))
    assert (found["different"], found["level"], found["tolerance"]) == (1, "texts", None)
    assert "only texts can be compared here" in found["sentence"]


def test_answers_alone_are_cut_and_compared_as_far_as_they_go(policy, questions, monkeypatch):
    engine = TransformersEngine(policy)
    monkeypatch.setattr(canary, "MOST_TOKENS", 3)
    found = run_canary(engine, policy, questions, DECODING, answered(engine, questions))
    assert (found["same"], found["max_new_tokens"]) == (7, 3)
    late = Spoilt(policy)
    late.change = lambda text: text[:-1] + "?"
    assert run_canary(late, policy, questions, DECODING, answered(late, questions))["same"] == 7


def test_an_engine_that_fails_is_no_failure_of_the_evaluation(policy, questions):
    class Gone(TransformersEngine):
        def answer(self, *_: Any) -> Any:
            raise ModelError("the server is gone")

    found = run_canary(Gone(policy), policy, questions, DECODING, {})
    assert (found["level"], found["sentence"]) == ("unknown", "the canary could not be asked: the server is gone")


def test_the_choice_is_the_same_in_any_order():
    many = [Question(f"q/{n}", "", "", "test") for n in range(100)]
    assert chosen(many) == chosen(many[::-1])
    assert len(chosen(many)) == 8
    assert [each.id for each in chosen(many)] != [each.id for each in many[:8]]


def test_it_is_asked_once_for_a_shape_engine_and_device(tmp_path):
    asked: list[int] = []

    def ask() -> dict[str, Any]:
        asked.append(1)
        return {"level": "ok", "sentence": "fine"}

    model = {"weights": "a", "config": "c", "tokenizer": "t"}
    what = {"model": model, "engine": {"name": "transformers"}, "device": "cpu", "dtype": "float32"}
    first = canary_key(what, "auto")
    assert canary_key({**what, "model": {**model, "weights": "b"}}, "auto") == first
    others = [
        canary_key({**what, "model": {**model, "config": "d"}}, "auto"),
        canary_key({**what, "engine": {"name": "continuous"}}, "auto"),
        canary_key({**what, "device": "cuda"}, "auto"),
        canary_key({**what, "dtype": "bfloat16"}, "auto"),
        canary_key(what, 8),
    ]
    assert len({first, *others}) == 6
    keep_canary(tmp_path / "a", tmp_path / "store", first, None)
    assert not (tmp_path / "a").exists()
    for stage in ("a", "a", "b"):
        keep_canary(tmp_path / stage, tmp_path / "store", first, ask)
    assert len(asked) == 1
    assert (tmp_path / "b" / "canary.json").read_text() == (tmp_path / "a" / "canary.json").read_text()


def test_what_could_not_be_asked_is_not_kept(tmp_path):
    keep_canary(tmp_path / "a", tmp_path / "store", "key", lambda: {"level": "unknown", "sentence": "gone"})
    assert (tmp_path / "a" / "canary.json").is_file()
    assert not (tmp_path / "store").exists()
