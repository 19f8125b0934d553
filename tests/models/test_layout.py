"""Weights that lie in memory as decoding multiplies them: the same answers, parameters and files."""

from __future__ import annotations

import pytest
import torch

from harness.models import load_policy
from harness.models.engines.machine import laid_out, lay_out
from tests.models.answering import GREEDY, answers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("tied", [False, True])
def test_weights_that_are_laid_out_answer_and_save_the_same(make_policy, questions, tmp_path, tied):
    policy = make_policy(tie_word_embeddings=tied)
    assert (policy.model.get_output_embeddings().weight is policy.model.get_input_embeddings().weight) is tied
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    expected = answers(policy, questions, GREEDY)
    parameters = dict(policy.model.named_parameters())
    lay_out(policy.model)
    assert answers(policy, questions, GREEDY) == expected
    after = dict(policy.model.named_parameters())
    assert all(after[name] is parameter for name, parameter in parameters.items())
    assert len(after) == len(parameters)
    linear = [each for each in policy.model.modules() if isinstance(each, torch.nn.Linear)]
    assert sum(not each.weight.is_contiguous() for each in linear) == len(linear) - tied > 0
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"), device="cpu")
    assert answers(again, questions, GREEDY) == expected
    for name, weight in again.model.state_dict().items():
        assert weight.is_contiguous()
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("layers_share", [False, True])
def test_weights_that_are_laid_out_for_a_while_are_the_same_parameters_again(model_folder, tied, layers_share):
    """Whatever happens in the meantime: an optimizer holds these parameters, and trains them as they lay before."""
    model = load_policy(str(model_folder), device="cpu").model
    if tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    if layers_share:
        model.model.layers[1].mlp.up_proj.weight = model.model.layers[0].mlp.up_proj.weight
    before = [(name, parameter, parameter.data_ptr()) for name, parameter in model.named_parameters()]

    def looked_at() -> None:
        with laid_out(model):
            linear = [each for each in model.modules() if isinstance(each, torch.nn.Linear)]
            assert not any(each.weight.is_contiguous() for each in linear)
            assert model.get_input_embeddings().weight.is_contiguous()
            raise KeyError

    with pytest.raises(KeyError):
        looked_at()
    after = dict(model.named_parameters())
    assert len(after) == len(before)
    assert all(after[name] is parameter and parameter.data_ptr() == place for name, parameter, place in before)
    assert all(parameter.requires_grad and parameter.is_contiguous() for parameter in after.values())
