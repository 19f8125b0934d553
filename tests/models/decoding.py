"""What the tests of the engine's loop share: small random models of many architectures, and who continues prompts."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from harness.models.engines.decode import decode
from harness.models.engines.machine import BatchSize
from harness.models.engines.sampling import greedy

SMALL = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# What an architecture needs beside SMALL to be small, and windows that no sequence of the tests fills.
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
OWN = {
    "cohere2": {"sliding_window": 128},
    "exaone4": {"sliding_window": 128},
    "gemma2": {"sliding_window": 128, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 128, "query_pre_attn_scalar": 8},
    "glm4_moe": {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    "gpt2": _GPT,
    "gpt_oss": {"num_local_experts": 4, "sliding_window": 128},
    "granitemoe": _EXPERTS,
    "ministral": {"sliding_window": 128},
    "mistral": {"sliding_window": 128},
    "mixtral": _EXPERTS,
    "olmo3": {"sliding_window": 128},
    "olmoe": _EXPERTS,
    "phi3": {"pad_token_id": 0},
    "phimoe": _EXPERTS,
    "qwen2": {"use_sliding_window": False},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 24},
    "qwen3_moe": _EXPERTS,
    "starcoder2": {"sliding_window": 128},
}
ENDS = [2, 7, 30]


def model_of(kind, **more):
    torch.manual_seed(3)
    config = CONFIG_MAPPING[kind](**{**SMALL, **OWN.get(kind, {}), **more})
    return AutoModelForCausalLM.from_config(config).eval()


def prompts_of(*lengths, beginning=0):
    generator = torch.Generator().manual_seed(11)
    start = torch.randint(8, 100, (beginning,), generator=generator).tolist()
    return [start + torch.randint(8, 100, (length,), generator=generator).tolist() for length in lengths]


def theirs(model, prompt, new):
    ids = torch.tensor([prompt])
    settings = GenerationConfig(max_new_tokens=new, do_sample=False, eos_token_id=ENDS, pad_token_id=0)
    output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return output[0, len(prompt) :].tolist()


def ours(model, prompts, new, size=None, sampler=greedy):
    found = {}
    for batch in decode(model, prompts, sampler, ENDS, new, BatchSize(size, "cpu")):
        for index, new_ids in batch:
            assert index not in found
            found[index] = new_ids
    return [found[index] for index in range(len(prompts))]


def count_tokens(model, monkeypatch):
    """The shapes (rows, tokens) that the model is called with."""
    shapes = []
    forward = type(model).forward

    def counting(self, input_ids=None, **more):
        shapes.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(model, "forward", counting.__get__(model))
    return shapes
