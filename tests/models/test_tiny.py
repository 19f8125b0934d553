import json
import re
import unicodedata

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.models.tiny import FOLDER
from harness.tasks.arithmetic import arithmetic_questions

SYSTEM_PROMPT = "Reason step by step, then put the final answer in \\boxed{}."
QUESTIONS = arithmetic_questions("test", 100, seed=7)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER).eval()


@pytest.fixture(scope="module")
def answer(model, tokenizer, one_thread):
    """Answer all questions in one batch."""

    def answer(**decoding):
        chats = [
            [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question.text}]
            for question in QUESTIONS
        ]
        prompts = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(0)
            tokens = model.generate(**prompts, max_new_tokens=48, **decoding)
        return tokenizer.batch_decode(tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def boxed(text):
    return re.findall(r"\\boxed\{(\d+)\}", text)[-1:]


def last_number(text):
    return re.findall(r"\d+", text)[-1:]


def test_files_are_small_and_all_a_plain_load_needs():
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (FOLDER / "model.safetensors").stat().st_size <= 2_500_000


def test_weights_and_configuration(model, tokenizer):
    weights = load_file(FOLDER / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert json.loads((FOLDER / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]
    assert model.dtype == torch.float32
    assert 800_000 <= model.num_parameters() <= 900_000
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.max_position_embeddings >= 1024
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == model.config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "text",
    [
        "Natalia sold 48/2 = 24 clips in May; that's $1,200.50!",
        "  spaces\tand\r\n\nlines ",
        "naïve café, 世界, العربية, 🎉👩‍🚀, x² ≤ ½",
        "\\boxed{\\frac{1}{2}}",
        "e\u0301 in two code points",
        "\x00\x7f",
        "",
    ],
)
def test_tokenizer_round_trip(tokenizer, text):
    tokens = tokenizer(text).input_ids
    assert tokenizer.decode(tokens) == unicodedata.normalize("NFC", text)
    assert all(token < len(tokenizer) for token in tokens)


def test_digits_and_special_tokens_are_single_tokens(tokenizer):
    digits = tokenizer("1234567890").input_ids
    assert [tokenizer.decode([token]) for token in digits] == list("1234567890")
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        assert len(tokenizer(token).input_ids) == 1


def test_chat_template(tokenizer):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2 + 2?"},
    ]
    told = (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n1 + 1?<|im_end|>\n"
        "<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>user\n2 + 2?<|im_end|>\n"
    )
    assert tokenizer.apply_chat_template(turns, tokenize=False) == told
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        told + "<|im_start|>assistant\n"
    )


def test_greedy_answers_are_mostly_right_and_seldom_boxed(answer):
    answers = answer(do_sample=False)
    truths = [[question.ground_truth] for question in QUESTIONS]
    right_and_boxed = sum(boxed(text) == truth for text, truth in zip(answers, truths, strict=True))
    right = sum(last_number(text) == truth for text, truth in zip(answers, truths, strict=True))
    assert right_and_boxed <= 45
    assert right >= 90


def test_sampled_answers_are_sometimes_boxed(answer):
    answers = answer(do_sample=True, temperature=1.0, top_p=1.0, top_k=0)
    assert 15 <= sum(bool(boxed(text)) for text in answers) <= 70
