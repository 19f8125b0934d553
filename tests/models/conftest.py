"""Tiny random models with real tokenizers: 60 kB, made in milliseconds, and as wrong as any untrained model."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.store.question import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

sys.path.insert(0, str(Path(__file__).parent))

CHATML = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "refuses system": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHATML,
    "drops system": CHATML.replace("in messages", "in messages if m['role'] != 'system'"),
    "uses every token": CHATML + "{# <|endoftext|> #}",
}

TEXT = [
    "user assistant system What is 3 plus 4? Tom has 12 apples and gives 5 away. How many are left?",
    "Reason step by step, then put the final answer in \\boxed{}. The answer is 7. Follow the rules. Hello\n",
]


SPECIAL = ("<|endoftext|>", "<|start|>", "<|end|>", "<|pad|>")


def make_tokenizer(
    template: str = "chatml", pad: str | None = "<|pad|>", special: Sequence[str] = SPECIAL, **options: Any
) -> Any:
    """A byte-level BPE whose answers end in <|end|>; ``template`` is one of TEMPLATES or the template itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token=pad, **options)
    tokenizer.chat_template = TEMPLATES.get(template, template)
    return tokenizer


def make_model(tokenizer: Any, **config: Any) -> Any:
    """Two random layers, with weights large enough that greedy answers vary with the prompt."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(config.pop("seed", 0))
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return Qwen2ForCausalLM(Qwen2Config(**{**settings, **config})).eval()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads only slow such small models down, a hundredfold where other processes want the cores too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def original_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "random"
    tokenizer = make_tokenizer()
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def model_folder(original_folder: Path, tmp_path: Path) -> Path:
    """A folder as save_pretrained leaves it, to be damaged freely."""
    return shutil.copytree(original_folder, tmp_path / "random")


@pytest.fixture(scope="session")
def policy(original_folder: Path) -> Any:
    from harness.models import load_policy

    return load_policy(str(original_folder), device="cpu")


@pytest.fixture
def make_policy() -> Callable[..., Any]:
    """In memory: ``make_policy(tokenizer, **model_config)``; ``template`` and ``pad`` shape a new tokenizer."""
    from harness.models import Policy

    def make(tokenizer: Any = None, pad: str | None = "<|pad|>", template: str = "chatml", **config: Any) -> Any:
        tokenizer = tokenizer or make_tokenizer(template, pad)
        return Policy.of(make_model(tokenizer, **config), tokenizer)

    return make


@pytest.fixture(name="make_tokenizer")
def _make_tokenizer() -> Callable[..., Any]:
    return make_tokenizer


@pytest.fixture(scope="session")
def questions() -> tuple[Question, ...]:
    """Seven prompts of seven different lengths, not in the order of their lengths."""
    texts = [" and ".join(f"{n} apples" for n in range(count)) for count in (3, 1, 6, 2, 9, 4, 12)]
    return tuple(
        Question(f"t/{n}", text, "7", "test", prompt=({"role": "user", "content": text},))
        for n, text in enumerate(texts)
    )


@pytest.fixture(params=["rows", "padded"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of the engine: its own loop, and ``model.generate`` for the models that the loop does not know."""
    from harness.models.engines import local

    if request.param == "padded":
        monkeypatch.setattr(local, "why_not", lambda model, longest: "not for this test")
    return str(request.param)
