from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from harness.models import Policy, generate, load, load_policy, resolve_model
from harness.store.errors import ModelError
from harness.store.question import Question
from harness.store.records import SamplingParams

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = SamplingParams(max_new_tokens=8, batch_size=8)
SYSTEM = {"role": "system", "content": "Be brief."}
SPECIAL = ("<|endoftext|>", "<|start|>", "<|end|>", "<|pad|>")
USER = {"role": "user", "content": "2 + 2?"}


def greedy(policy, questions):
    return {a.question_id: a.completion for batch in generate(policy, questions, GREEDY) for a in batch}


def test_a_folder_loads_saves_and_loads_back(model_folder, questions, tmp_path):
    policy = load_policy(str(model_folder), device="cpu")
    assert (policy.device, policy.dtype, policy.name) == ("cpu", "float32", str(model_folder))
    assert policy.source is not None
    assert (policy.source.kind, policy.context_length) == ("folder", 512)
    assert policy.tokenizer.padding_side == "left"
    assert not policy.model.training
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"), device="cpu")
    assert again.tokenizer.chat_template == policy.tokenizer.chat_template
    assert greedy(again, questions) == greedy(policy, questions)
    assert not list((tmp_path / "saved").glob("*.bin"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype_and_a_source_in_place_of_a_name(model_folder, dtype):
    source = resolve_model(str(model_folder))
    policy = load_policy(source, device="cpu", dtype=dtype)
    assert policy.source is source
    assert {str(weight.dtype) for weight in policy.model.parameters()} == {f"torch.{dtype}"}
    assert policy.dtype == dtype


def shorten(file):
    file.write_bytes(file.read_bytes()[:1000])


def drop_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def add_layer(folder):
    edit(folder / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)


def drop_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "chat_template.jinja").unlink(), "has no chat template.*take the instruct or chat version"),
        (drop_tokenizer, "has no tokenizer files in .*; save its tokenizer there"),
        (lambda f: shorten(f / "tokenizer.json"), "cannot be loaded"),
        (lambda f: shorten(f / "model.safetensors"), "cannot be loaded"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be loaded"),
        (lambda f: edit(f / "config.json", model_type="nonesuch"), "cannot be loaded"),
        (lambda f: edit(f / "config.json", hidden_size=64), "cannot be loaded"),
        (
            add_layer,
            r"lack 12 of the model's weights, such as model\.layers\.2\.input_layernorm\.weight; fetch it again",
        ),
        (drop_weight, r"lack 1 of the model's weights, such as model\.layers\.1\.mlp\.up_proj\.weight; fetch it again"),
    ],
)
def test_a_damaged_folder_is_one_sentence(model_folder, damage, message):
    damage(model_folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_policy(str(model_folder), device="cpu")
    assert str(caught.value).startswith(str(model_folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_code_in_a_model_folder_never_runs(model_folder, tmp_path):
    trace = tmp_path / "ran"
    (model_folder / "modeling.py").write_text(f"open({str(trace)!r}, 'w')\n")
    auto_map = {"AutoConfig": "modeling.C", "AutoModelForCausalLM": "modeling.M", "AutoTokenizer": "modeling.T"}
    edit(model_folder / "config.json", model_type="custom", auto_map=auto_map)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_policy(str(model_folder), device="cpu")
    assert not trace.exists()


def test_ends_are_all_that_are_listed(model_folder):
    edit(model_folder / "generation_config.json", eos_token_id=[0, 7])
    policy = load_policy(str(model_folder), device="cpu")
    assert policy.eos_token_ids == {0, 7, policy.tokenizer.convert_tokens_to_ids("<|end|>")}


@pytest.mark.parametrize(
    ("template", "special", "options", "expected"),
    [
        ("chatml", SPECIAL, {}, "<|pad|>"),
        ("chatml", SPECIAL, {"pad_token": "<|end|>"}, "<|end|>"),  # one that is there stays
        ("chatml", SPECIAL[:3], {}, "<|endoftext|>"),
        ("chatml", (*SPECIAL[:3], "<|unknown|>"), {"unk_token": "<|unknown|>"}, "<|unknown|>"),
        ("uses every token", SPECIAL[:3], {}, "<|end|>"),  # none to spare
        ("chatml", SPECIAL[:3], {"bos_token": "<|endoftext|>"}, "<|end|>"),
    ],
)
def test_a_missing_pad_token_is_chosen_among_existing_ones(
    make_policy, make_tokenizer, template, special, options, expected
):
    tokenizer = make_tokenizer(template, options.pop("pad_token", None), special, **options)
    tokens = len(tokenizer)
    policy = make_policy(tokenizer)
    assert tokenizer.pad_token == expected
    assert len(tokenizer) == tokens == policy.model.get_input_embeddings().weight.shape[0]


@pytest.mark.parametrize(
    ("template", "chat", "expected"),
    [
        ("chatml", [SYSTEM, USER], [SYSTEM, USER]),
        ("chatml", [USER], [USER]),
        ("refuses system", [USER], [USER]),
        ("refuses system", [SYSTEM, USER], [{"role": "user", "content": "Be brief.\n\n2 + 2?"}]),
        ("drops system", [SYSTEM, USER], [{"role": "user", "content": "Be brief.\n\n2 + 2?"}]),
        ("refuses system", [SYSTEM], [{"role": "user", "content": "Be brief."}]),
        (
            "refuses system",
            [SYSTEM, USER, {"role": "assistant", "content": "4"}, USER],
            [{"role": "user", "content": "Be brief.\n\n2 + 2?"}, {"role": "assistant", "content": "4"}, USER],
        ),
    ],
)
def test_a_system_turn_reaches_every_model(make_policy, template, chat, expected):
    policy = make_policy(template=template)
    before = json.dumps(chat)
    assert policy.adapt(chat) == expected
    assert json.dumps(chat) == before
    text = policy.tokenizer.decode(policy.encode(chat))
    assert "2 + 2?" in text or USER not in chat
    assert ("Be brief." in text) == (SYSTEM in chat)
    assert text.endswith("<|start|>assistant\n")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"template": "{{ raise_exception('turns must alternate') }}"},
            "the chat template refuses a chat: turns must alternate",
        ),
        ({"vocab_size": 60}, r"the tokenizer gave token \d+, but the model knows 60; it is another model's"),
    ],
)
def test_a_chat_that_cannot_be_asked(make_policy, made, said):
    with pytest.raises(ModelError, match=said):
        make_policy(**made).encode([USER])


def test_a_model_without_end(make_policy):
    policy = make_policy(eos_token_id=None)
    policy.tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        Policy.of(policy.model, policy.tokenizer)


def test_a_generation_config_that_could_not_be_saved(make_policy, tmp_path):
    policy = make_policy()
    policy.model.generation_config = GenerationConfig(temperature=0.6, top_p=0.9, eos_token_id=2)
    policy = Policy.of(policy.model, policy.tokenizer)
    policy.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "generation_config.json").read_text())["temperature"] == 0.6


def test_a_gguf_that_cannot_be_loaded(tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    (tmp_path / "m.gguf").write_bytes(b"GGUF but nothing else")
    with pytest.raises(ModelError, match=r"m\.gguf: cannot be loaded"):
        load_policy(str(tmp_path / "m.gguf"), device="cpu")
    monkeypatch.setattr(load.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"takes the gguf package: pip install 'rl-harness\[gguf\]'"):
        load_policy(str(tmp_path / "m.gguf"), device="cpu")


def test_a_model_that_was_packed_becomes_plain(make_policy, questions, tmp_path):
    """What older transformers leave after unpacking a GGUF file: a quantizer that refuses to save."""
    policy = make_policy()
    expected = greedy(policy, questions)
    packed = policy.model
    packed.hf_quantizer, packed.config.quantization_config = SimpleNamespace(), {"quant_method": "gguf"}
    plain = load._plain(packed, torch.float32)
    assert not hasattr(plain.config, "quantization_config")
    assert greedy(Policy.of(plain.eval(), policy.tokenizer), questions) == expected
    plain.save_pretrained(tmp_path)


@pytest.fixture
def gguf_file(make_tokenizer, tmp_path):
    """One random layer in eight bits, with the tokenizer that all tests have."""
    gguf = pytest.importorskip("gguf")
    tokenizer, made = make_tokenizer(), gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    numbers = {"context_length": 512, "embedding_length": 32, "block_count": 1, "feed_forward_length": 64}
    numbers |= {"head_count": 4, "head_count_kv": 2, "rope_dimension_count": 8, "vocab_size": len(tokens)}
    numbers |= {"layer_norm_rms_eps": 1e-6, "bos_token_id": 0}
    numbers |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    lists = {"tokenizer_model": "gpt2", "tokenizer_pre": "default", "token_list": tokens}
    lists |= {"token_types": [3 if token.startswith("<|") else 1 for token in tokens]}
    lists |= {"token_merges": [" ".join(pair) for pair in bpe["merges"]], "chat_template": tokenizer.chat_template}
    for name, value in (numbers | lists).items():
        getattr(made, f"add_{name}")(value)
    shapes = {"token_embd": (len(tokens), 32), "output": (len(tokens), 32), "output_norm": (32,)}
    shapes |= {f"blk.0.attn_{name}": (rows, 32) for name, rows in {"q": 32, "k": 16, "v": 16, "output": 32}.items()}
    shapes |= {"blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64)}
    shapes |= {"blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    torch.manual_seed(0)
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else gguf.GGMLQuantizationType.Q8_0
        values = torch.ones(shape) if len(shape) == 1 else 0.4 * torch.randn(shape)
        made.add_tensor(f"{name}.weight", gguf.quants.quantize(values.numpy(), kind), raw_dtype=kind)
    for part in ("header", "kv_data", "tensors"):
        getattr(made, f"write_{part}_to_file")()
    made.close()
    return tmp_path / "m.gguf"


def saves_as_a_plain_model(policy, questions, folder):
    """Loaded back, it is a folder as any other, with the same answers."""
    assert (policy.source.kind, policy.dtype) == ("gguf", "float32")
    policy.save(folder)
    assert (folder / "model.safetensors").is_file()
    again = load_policy(str(folder), device="cpu")
    assert again.source.kind == "folder"
    assert not hasattr(again.model.config, "quantization_config")
    answers = greedy(policy, questions)
    assert greedy(again, questions) == answers
    return answers


def test_a_gguf_answers_and_saves_as_a_plain_model(gguf_file, questions, tmp_path):
    policy = load_policy(str(gguf_file), device="cpu")
    assert policy.tokenizer.convert_tokens_to_ids("<|end|>") in policy.eos_token_ids
    assert len({*saves_as_a_plain_model(policy, questions, tmp_path / "saved").values()}) > 3


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("RL_HARNESS_SMOLLM2_GGUF"),
    reason="RL_HARNESS_SMOLLM2_GGUF does not name a file: SmolLM2-135M-Instruct.Q4_1.gguf",
)
def test_a_real_gguf_knows_what_it_learnt(tmp_path):
    pytest.importorskip("gguf")
    chat = "What is the capital of France?"
    asked = Question(chat, chat, "", "test", prompt=({"role": "user", "content": chat},))
    policy = load_policy(os.environ["RL_HARNESS_SMOLLM2_GGUF"], device="cpu")
    assert "Paris" in saves_as_a_plain_model(policy, [asked], tmp_path / "saved")[chat]
