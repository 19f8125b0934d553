"""Two answers part where their first tokens differ, and the model's logits there tell a tie from a preference."""

from __future__ import annotations

import pytest
from differences import TIE, difference


@pytest.fixture(scope="module")
def policy():
    from harness.policy import load_policy

    return load_policy("tiny", device="cpu")


@pytest.fixture(scope="module")
def asked(policy):
    """A prompt, and the model's greedy answer to it."""
    from harness.policy import generate
    from harness.recipe import EvaluateSection
    from harness.tasks.arithmetic import arithmetic_questions
    from harness.tasks.prompts import with_prompts

    (question,) = with_prompts(
        arithmetic_questions("test", 1), system_prompt="Reason step by step.", few_shot=0, examples=[], seed=0
    )
    ((answer,),) = generate(policy, [question], EvaluateSection(max_new_tokens=48))
    return policy.encode(question.prompt), answer.completion


def test_another_number_is_no_tie(policy, asked):
    prompt, answer = asked
    digits = [place for place, letter in enumerate(answer) if letter.isdigit()]
    other = answer[: digits[-1]] + str((int(answer[digits[-1]]) + 1) % 10) + answer[digits[-1] + 1 :]
    found = difference(policy, prompt, answer, other)
    assert found.gap > TIE["float32"]
    assert found.others_above == 0
    assert not found.tie
    assert difference(policy, prompt, other, answer).gap == pytest.approx(-found.gap)
    assert "no tie" in found.sentence


def test_one_that_ends_earlier_parts_at_its_end(policy, asked):
    prompt, answer = asked
    ids = policy.tokenizer(answer, add_special_tokens=False)["input_ids"]
    found = difference(policy, prompt, answer, policy.decode(ids[:-1]))
    assert found.place == len(ids) - 1
    assert found.tokens[1] == policy.tokenizer.convert_ids_to_tokens(min(policy.eos_token_ids))


def test_equal_logits_are_a_tie(policy, asked, monkeypatch):
    """Both tokens' rows of the output layer made one: their logits are then the same."""
    import torch

    prompt, answer = asked
    digits = [place for place, letter in enumerate(answer) if letter.isdigit()]
    other = answer[: digits[-1]] + str((int(answer[digits[-1]]) + 1) % 10) + answer[digits[-1] + 1 :]
    first, second = (policy.tokenizer.convert_tokens_to_ids(text[digits[-1]]) for text in (answer, other))
    layer = policy.model.get_output_embeddings()
    weight = layer.weight.detach().clone()
    weight[second] = weight[first]
    monkeypatch.setattr(layer, "forward", lambda states: torch.nn.functional.linear(states, weight))
    assert difference(policy, prompt, answer, other).tie


def test_texts_of_the_same_tokens_are_refused(policy, asked):
    prompt, answer = asked
    with pytest.raises(ValueError, match="of the same tokens"):
        difference(policy, prompt, answer, answer)
