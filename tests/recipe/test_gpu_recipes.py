"""docs/gpu.md: its lines make recipes that TRL's config takes, and its tables are what its formulas give of them.

None of it needs a GPU; what does is in ``tests/test_gpu.py``.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.pipeline.plan import plan_lines, requires_gpu
from harness.recipe import Recipe, parse_changes
from harness.recipe.catalog import find_recipe
from harness.recipe.needs import check_needs
from harness.recipe.trl_arguments import argument_defaults, completions_per_batch, optimizer_steps
from harness.store.errors import RecipeError

PAGE = (Path(__file__).parents[2] / "docs/gpu.md").read_text(encoding="utf-8")
LINES = {
    name: shlex.split(line.replace("\\\n", ""))
    for name, line in re.findall(r"^# (.+)\n(pytest (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
}
VLLM = [name for name in LINES if "vLLM" in name]


def recipe_of(name: str) -> Recipe:
    """The recipe that a line of the page makes, as the plugin does."""
    options = list(zip(LINES[name], LINES[name][1:], strict=False))
    (recipe,) = [value for option, value in options if option == "--rl-recipe"]
    changes = parse_changes([value for option, value in options if option == "--rl-set"])
    processes = [int(value) for option, value in options if option == "--rl-nproc"]
    return find_recipe(recipe).override({**changes, "launch.nproc_per_node": max(processes, default=1)})


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the page's table whose first line begins so, by their first cell."""
    rows = PAGE[PAGE.index(heading) :].partition("\n\n")[0].splitlines()[2:]
    return {name: cells for name, *cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)}


def test_the_page_has_the_four():
    assert list(LINES) == ["one GPU", "one GPU, vLLM", "one GPU, vLLM, LoRA", "eight GPUs, vLLM"]
    assert all(list(table(heading)) == list(LINES) for heading in ("| | training |", "| | L4 |"))


@pytest.mark.parametrize("name", LINES)
def test_every_one_is_the_same_job(name):
    """Steps and completions of a step, however many GPUs."""
    lines = "\n".join(plan_lines(recipe_of(name)))
    assert "467 optimizer steps of 128 completions (59776 to sample) over 7472 questions" in lines
    assert ("LoRA of rank 16" in lines) == ("LoRA" in name)
    assert ("in 8 processes" in lines) == ("eight" in name)


@pytest.mark.parametrize("name", LINES)
def test_trl_takes_the_keys(name, tmp_path, monkeypatch):
    """Its config wants a GPU for bfloat16 alone, which is switched off here; it is the trainer that looks for vLLM."""
    from trl import GRPOConfig

    recipe = recipe_of(name)
    monkeypatch.setattr(GRPOConfig, "world_size", recipe.launch.processes)
    config = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **recipe.train.arguments)
    assert (config.generation_batch_size, config.num_generations) == (128, 8)
    assert config.use_vllm == (name in VLLM)
    assert (config.vllm_mode, config.vllm_gpu_memory_utilization) == ("colocate", 0.3)


def test_what_vllm_is_needed_for_is_said(monkeypatch):
    """Without it the first line finds all that it needs, and the others say what is missing."""
    known: dict[str, Any] = {"vllm": None}
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: known[name] if name in known else find(name))
    check_needs(recipe_of("one GPU"))
    for name in VLLM:
        with pytest.raises(RecipeError, match=r"\[train\] use_vllm: vLLM is not installed: pip install 'trl\[vllm\]'"):
            check_needs(recipe_of(name))
    known["vllm"] = SimpleNamespace(origin="vllm/__init__.py")
    for name in VLLM:
        check_needs(recipe_of(name))


def test_what_is_said_without_a_gpu():
    said = requires_gpu(find_recipe("gsm8k-qwen2.5-0.5b"), "and none is visible", options="--rl-")
    assert f"not run: {said}\n" in PAGE


@pytest.fixture(scope="module")
def parameters() -> tuple[int, int]:
    """Of the model and of the adapter, as transformers and peft count them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(**SHAPE, num_attention_heads=14, intermediate_size=4864, tie_word_embeddings=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        own = model.num_parameters()
        lora = recipe_of("one GPU, vLLM, LoRA").lora
        assert lora is not None
        adapted = get_peft_model(model, LoraConfig(r=lora.r, target_modules="all-linear", task_type="CAUSAL_LM"))
    return own, adapted.num_parameters() - own


# https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/config.json
SHAPE = {"vocab_size": 151_936, "hidden_size": 896, "num_hidden_layers": 24, "num_key_value_heads": 2}
HEAD = 64
CACHE = SHAPE["num_hidden_layers"] * 2 * SHAPE["num_key_value_heads"] * HEAD  # numbers a token


def test_the_page_counts_parameters_and_cache_as_the_libraries_do(parameters):
    assert all(f"{count:,}" in PAGE for count in (*parameters, 2 * CACHE, 4 * CACHE))


def assumed() -> list[float]:
    return [float(cells[0].removesuffix(" ms")) for cells in table("| counted or assumed |").values()]


@pytest.mark.parametrize("name", LINES)
def test_memory_is_what_the_formulas_give(name, parameters):
    recipe, (own, adapter), (_, longest, *_) = recipe_of(name), parameters, assumed()
    arguments = {**argument_defaults("grpo"), **recipe.train.arguments}
    learnt, frozen = (adapter, own) if recipe.lora else (own, 0)
    tokens = longest + arguments["max_completion_length"]
    width = SHAPE["hidden_size"]
    training = 6 * frozen + (18 if recipe.launch.processes == 1 else 22) * learnt
    training += 4096 * 32768 * 2 + (0 if recipe.lora else SHAPE["vocab_size"] * width * 4)
    training += arguments["per_device_train_batch_size"] * tokens * width * SHAPE["num_hidden_layers"] * 4
    if arguments.get("use_vllm"):
        sampling = arguments["vllm_gpu_memory_utilization"] * 24e9
        most = training + sampling
    else:
        sampling = completions_per_batch(arguments) * tokens * CACHE * 4
        most = max(training, 16 * own + sampling)
    assert table("| | training |")[name] == [f"{each / 1e9:.1f}" for each in (training, sampling, most)]


@pytest.mark.parametrize("name", LINES)
def test_hours_are_what_the_formulas_give(name, parameters):
    recipe, (own, _), (prompt, _, peak_share, width_share, fast, slow) = recipe_of(name), parameters, assumed()
    arguments, processes = {**argument_defaults("grpo"), **recipe.train.arguments}, recipe.launch.processes
    batch, length = completions_per_batch(arguments, processes), arguments["max_completion_length"]
    batches = optimizer_steps(arguments, recipe.task.train_questions, processes)
    use_vllm = bool(arguments.get("use_vllm"))
    flop = batches * batch * (prompt + length) * (8 + 2 * use_vllm - 2 * bool(recipe.lora)) * own
    read = 2 * own + batch / processes * (prompt + length / 2) * 2 * CACHE
    hours = []
    for tera, giga, _ in (map(float, cells) for cells in table("| GPU |").values()):
        step = max(fast / 1e3, read / (width_share * giga * 1e9)) if use_vllm else slow / 1e3
        sampling, training = batches * length * step, flop / (processes * peak_share * tera * 1e12)
        hours.append(f"{sampling / 3600:.1f} + {training / 3600:.1f}")
    assert table("| | L4 |")[name] == hours
