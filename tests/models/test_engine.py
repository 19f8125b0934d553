from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from harness.models import generate
from harness.models.engines import local
from harness.models.engines.sampling import Streams, warpers
from harness.store.errors import ModelError, TaskError
from harness.store.question import Question
from tests.models.answering import GREEDY, SAMPLED, answers, with_

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("decoding", [GREEDY, with_(SAMPLED, top_p=0.8, top_k=20, temperature=0.7)])
def test_an_answer_is_the_same_in_every_batch(policy, questions, decoding):
    alone = answers(policy, questions, with_(decoding, batch_size=1))
    for size in (3, 8):
        assert answers(policy, questions, with_(decoding, batch_size=size)) == alone
    assert len({a.completion for a in alone.values()}) > 3, "the fixture's model should not always say the same"


def test_sampled_answers_follow_seed_question_and_sample(policy, questions):
    first = answers(policy, questions, SAMPLED)
    torch.manual_seed(123)
    assert answers(policy, questions[::-1], SAMPLED) == first
    assert len({first["t/0", sample].completion for sample in range(3)}) == 3
    other = answers(policy, questions, with_(SAMPLED, seed=1))
    assert all(other[key].completion != first[key].completion for key in first)
    assert {a.seed for a in other.values()} == {1}
    skip = {("t/0", 1), ("t/3", 0), ("t/3", 1), ("t/3", 2)}
    rest = answers(policy, questions, SAMPLED, skip=skip)
    assert rest == {key: answer for key, answer in first.items() if key not in skip}, "others stay as they are"
    assert answers(policy, questions, SAMPLED, skip=set(first)) == {}


def test_padded_batches_come_longest_first_and_as_they_are_done(policy, questions, monkeypatch):
    monkeypatch.setattr(local, "why_not", lambda model, longest: "not for this test")
    monkeypatch.setattr(local, "AT_ONCE", 1)
    batches = [[a.prompt_tokens for a in batch] for batch in generate(policy, questions, with_(GREEDY, batch_size=3))]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    flat = [length for batch in batches for length in batch]
    assert flat == sorted(flat, reverse=True)
    assert flat[0] == len(policy.encode(questions[6].prompt))


@pytest.mark.usefixtures("loop")
def test_greedy_answers_are_transformers_own(policy, questions):
    ours = answers(policy, questions, GREEDY)
    for question in questions:
        ids = torch.tensor([policy.encode(question.prompt)])
        theirs = policy.model.generate(ids, do_sample=False, max_new_tokens=8, attention_mask=torch.ones_like(ids))
        assert ours[question.id, 0].completion == policy.decode(theirs[0, ids.shape[1] :].tolist())


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_nothing_is_inherited_from_the_generation_config(make_policy, questions, decoding):
    plain = make_policy()
    expected = answers(plain, questions, decoding)
    own = GenerationConfig(
        do_sample=True,
        temperature=0.1,
        top_k=1,
        top_p=0.1,
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        min_new_tokens=7,
        suppress_tokens=list(range(20, 200)),
        bad_words_ids=[[id_] for id_ in range(200, 290)],
        max_length=4,
        eos_token_id=plain.tokenizer.eos_token_id,
    )
    plain.model.generation_config = own
    assert answers(plain, questions, decoding) == expected
    assert plain.model.generation_config is own


@pytest.mark.parametrize("pad", ["<|pad|>", "<|end|>"])
def test_finish_reason_and_counts(make_policy, questions, pad, monkeypatch):
    policy = make_policy(pad=pad)
    end, (seven, eight) = policy.tokenizer.eos_token_id, policy.tokenizer("78")["input_ids"]
    policy.model.generation_config.eos_token_id = [end, eight]
    policy = type(policy).of(policy.model, policy.tokenizer)
    assert policy.eos_token_ids == {end, eight}, "all that are listed"
    pad_id = policy.tokenizer.convert_tokens_to_ids("<|pad|>")
    rows = [[seven, seven, end], [end], [seven] * 4, [seven, pad_id, seven, end], [seven, end, seven, end]]
    rows.append([seven, eight, seven, seven])
    monkeypatch.setattr(local, "decode", lambda *_, **__: iter([list(enumerate(rows))]))
    found = [
        (a.completion, a.finish_reason, a.completion_tokens)
        for batch in generate(policy, questions[:6], with_(GREEDY, max_new_tokens=4, batch_size=6))
        for a in batch
    ]
    whole = [("77", "stop", 3), ("", "stop", 1), ("7777", "length", 4), ("77", "stop", 4), ("7", "stop", 2)]
    assert found == [*whole, ("7", "stop", 2)]


@pytest.mark.parametrize("pad", ["<|pad|>", "<|end|>"])
def test_a_pad_token_that_is_an_end_hides_nothing(make_policy, questions, pad):
    """Same weights, other pad token: same answers. The prompts hold <|end|> after every turn."""
    policy = make_policy(pad=pad, pad_token_id=None)
    alone = answers(policy, questions, with_(GREEDY, batch_size=1))
    assert answers(policy, questions, with_(GREEDY, batch_size=7)) == alone
    assert alone == answers(make_policy(pad_token_id=None), questions, GREEDY)


def test_a_prompt_that_is_too_long_is_named(policy, questions):
    with pytest.raises(ModelError, match=r"'t/\d': its prompt of \d+ tokens and 500 new tokens exceed the 512"):
        list(generate(policy, questions, with_(GREEDY, max_new_tokens=500)))


def test_a_question_without_prompt(policy):
    with pytest.raises(TaskError, match="'a/1' has no prompt"):
        list(generate(policy, [Question("a/1", "1 + 1?", "2", "test")], GREEDY))


@pytest.mark.usefixtures("loop")
def test_training_mode_is_left_as_it_was(make_policy, questions):
    policy = make_policy(attention_dropout=0.5)
    expected = answers(policy, questions, GREEDY)
    policy.model.train()
    assert answers(policy, questions, GREEDY) == expected
    assert policy.model.training


def test_the_draw_has_the_right_shares():
    """20,000 rows of one distribution: each token's share is within 4 standard errors of its probability."""
    rows, shares = 20_000, torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    draw = Streams(warpers(1.0, 1.0, 0), 0, [(f"q/{n}", 0) for n in range(rows)])
    drawn = draw(shares.log().repeat(rows, 1), range(rows))
    found = torch.bincount(drawn, minlength=5) / rows
    assert torch.all((found - shares).abs() <= 4 * (shares * (1 - shares) / rows).sqrt())


@pytest.mark.usefixtures("loop")
def test_scores_that_are_not_numbers(make_policy, questions):
    policy = make_policy()
    policy.model.lm_head.weight.data.fill_(torch.nan)
    with pytest.raises(ModelError, match="scores are not numbers"):
        list(generate(policy, questions, SAMPLED))
