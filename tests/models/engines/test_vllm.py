"""What reaches vLLM, by a stand-in that records it; vLLM itself runs where there is a GPU and it is installed."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.models.engines.base import answer_seed
from harness.models.engines.local import TransformersEngine
from harness.models.engines.vllm import VllmEngine
from harness.models.source import ModelSource, resolve_model
from harness.store.errors import ModelError
from harness.store.records import SamplingParams
from suites.peers.parting import TIES, parting

SAMPLED = SamplingParams(max_new_tokens=6, temperature=0.7, top_p=0.9, top_k=5, samples_per_question=2, seed=4)


@dataclass
class Recorded:
    made: dict[str, Any]
    calls: list[tuple[list[Any], list[dict[str, Any]]]]


@pytest.fixture
def vllm(monkeypatch) -> Recorded:
    """Answers every prompt with its last two tokens, then an end."""
    recorded = Recorded({}, [])

    class LLM:
        def __init__(self, **arguments: Any) -> None:
            recorded.made = arguments

        def generate(self, prompts: list[Any], params: list[Any], *, use_tqdm: bool) -> list[Any]:
            assert not use_tqdm
            recorded.calls.append((prompts, params))
            return [
                SimpleNamespace(
                    outputs=[SimpleNamespace(token_ids=(*each["prompt_token_ids"][-2:], how["stop_token_ids"][0]))]
                )
                for each, how in zip(prompts, params, strict=True)
            ]

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return recorded


def test_every_setting_arrives(vllm, original_folder, policy, questions):
    source = resolve_model(str(original_folder))
    engine = VllmEngine(source, device="cuda", dtype="bfloat16", arguments={"gpu_memory_utilization": 0.5})
    assert vllm.made == {
        "model": str(original_folder),
        "dtype": "bfloat16",
        "seed": 0,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "generation_config": "vllm",
        "gpu_memory_utilization": 0.5,
    }
    assert (engine.name, engine.model, engine.device) == ("vllm", str(original_folder), "cuda")
    found = {(a.question_id, a.sample): a for batch in engine.answer(questions, SAMPLED) for a in batch}
    assert len(found) == 2 * len(questions)
    ((prompts, params),) = vllm.calls
    at = next(n for n, each in enumerate(params) if each["seed"] == answer_seed(4, "t/1", 1))
    ids = policy.encode(questions[1].prompt)
    assert prompts[at] == {"prompt_token_ids": ids}
    assert params[at] == {
        "n": 1,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "seed": answer_seed(4, "t/1", 1),
        "max_tokens": 6,
        "stop_token_ids": sorted(policy.eos_token_ids),
        "detokenize": False,
    }
    answer = found["t/1", 1]
    assert answer.completion == policy.decode(ids[-2:])
    assert (answer.finish_reason, answer.prompt_tokens, answer.completion_tokens) == ("stop", len(ids), 3)


def test_on_a_cpu_answers_draw_from_the_engines_own_seed(vllm, original_folder, questions):
    engine = VllmEngine(resolve_model(str(original_folder)), device="cpu", dtype="float32")
    list(engine.answer(questions, SAMPLED))
    assert vllm.made["seed"] == 0
    assert {each["seed"] for each in vllm.calls[0][1]} == {None}


def test_greedy_cuts_nothing_and_a_size_is_kept_to(vllm, original_folder, questions):
    engine = VllmEngine(resolve_model(str(original_folder)), device="cuda", dtype="float16")
    decoding = SamplingParams(max_new_tokens=6, top_p=0.5, top_k=3, batch_size=3)
    batches = list(engine.answer(questions, decoding, skip=[("t/0", 0)]))
    assert [len(batch) for batch in batches] == [3, 3]
    assert all((each["temperature"], each["top_p"], each["top_k"]) == (0.0, 1.0, 0) for each in vllm.calls[0][1])


@pytest.mark.parametrize("key", ["model", "dtype", "seed", "trust_remote_code", "skip_tokenizer_init"])
def test_what_is_said_elsewhere_is_not_an_argument(vllm, original_folder, key):
    with pytest.raises(ModelError, match=rf"\[engine\] {key}: not set here"):
        VllmEngine(resolve_model(str(original_folder)), device="cuda", dtype="auto", arguments={key: 1})
    assert not vllm.made


def test_other_files_are_refused(vllm, tmp_path):
    with pytest.raises(ModelError, match="reads model folders and Hub ids, no gguf"):
        VllmEngine(ModelSource("m.gguf", "gguf", tmp_path / "m.gguf"), device="cuda", dtype="auto")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_how_to_get_it(original_folder):
    with pytest.raises(ModelError, match=r"vLLM is not installed; pip install 'rl-harness\[vllm\]'"):
        VllmEngine(resolve_model(str(original_folder)), device="cuda", dtype="auto")


@pytest.mark.vllm
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vllm_answers_as_the_default_engine(tmp_path, monkeypatch, dtype):
    """The installed one, on a GPU or on a CPU; a difference is at most a tie of two tokens."""
    pytest.importorskip("vllm")
    from harness.models import load_policy
    from harness.models.device import choose_device
    from harness.recipe.catalog import find_recipe
    from harness.tasks import load_questions

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    device = choose_device(None)
    policy = load_policy("tiny", device=device, dtype=dtype)
    policy.save(tmp_path / "tiny")
    questions = load_questions(find_recipe("tiny-arithmetic").task).test[:64]
    arguments = {"enforce_eager": True, "max_model_len": 256}
    engine = VllmEngine(resolve_model(str(tmp_path / "tiny")), device=device, dtype=dtype, arguments=arguments)
    decoding = SamplingParams(max_new_tokens=48)
    answered = {a.question_id: a for batch in engine.answer(questions, decoding) for a in batch}
    assert len(answered) == 64
    assert {a.finish_reason for a in answered.values()} <= {"stop", "length"}
    ours = {a.question_id: a for batch in TransformersEngine(policy).answer(questions, decoding) for a in batch}
    for question in questions:
        first, other = (each[question.id].completion for each in (ours, answered))
        if first != other:
            _, gap = parting(policy, policy.encode(question.prompt), first, other)
            assert gap <= TIES[dtype], (first, other)
    sampled = [answer for batch in engine.answer(questions[:8], replace(SAMPLED, top_k=0)) for answer in batch]
    assert len({(each.question_id, each.sample) for each in sampled}) == 16
    engine.close()
