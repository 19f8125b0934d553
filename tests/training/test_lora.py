"""LoRA on the embedded model: trained by every method, saved merged or not, loaded back, resumed."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.models import fingerprint, generate, load_policy, resolve_model
from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import ModelError, RecipeError
from tests.small_recipes import GRPO

LORA = {"lora.r": 8, "train.learning_rate": 5e-3}


@pytest.fixture(scope="module")
def unmerged(supervised):
    run = supervised("sft", **LORA, **{"lora.merge": False})
    run.trained()
    return run


def answers(policy, run):
    found = (each for batch in generate(policy, run.questions.test, run.recipe.evaluate) for each in batch)
    return {each.question_id: each.completion for each in found}


def test_merged_and_unmerged_give_the_same_answers(unmerged, supervised):
    """Greedy decoding; the adapter as it is, merged after loading, and a run that saved merged weights."""
    merged_run = supervised("sft", **LORA, **{"lora.merge": True})
    adapted = load_policy(str(unmerged.trained().model), device="cpu")
    assert hasattr(adapted.model, "merge_and_unload")
    said = answers(adapted, unmerged)
    assert said != answers(load_policy("tiny", device="cpu"), unmerged), "the adapter changes nothing"
    assert answers(adapted.merged(), unmerged) == said
    assert {each.question_id: each.completion for each in merged_run.after().records} == said
    assert {each.question_id: each.completion for each in unmerged.after().records} == said


def test_what_is_saved(unmerged, supervised):
    adapter = unmerged.trained().model
    assert (adapter / "adapter_model.safetensors").is_file()
    assert not (adapter / "model.safetensors").exists()
    assert json.loads((adapter / "base.json").read_text())["name"] == "tiny"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    merged = supervised("sft", **LORA, **{"lora.merge": True}).trained().model
    assert (merged / "model.safetensors").is_file()
    assert not (merged / "adapter_config.json").exists()


def test_only_the_adapter_is_trained(unmerged):
    from safetensors.torch import load_file

    names = set(load_file(unmerged.trained().model / "adapter_model.safetensors"))
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert any("down_proj" in name for name in names)
    assert not any("lm_head" in name or "embed" in name for name in names)


@pytest.mark.parametrize("merge", [True, False])
def test_killed_while_saving_it_trains_no_further_step(supervised, tmp_path, merge):
    from safetensors.torch import load_file

    overrides = {**LORA, "lora.merge": merge, "data.source": "solutions"}
    run = supervised("sft", tmp_path, **overrides)
    (weights,) = run.trained().model.glob("*.safetensors")
    first = load_file(weights)
    train = run.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "final")
    again = Run(run.recipe, 0, Settings(runs_dir=tmp_path, in_process=True)).trained()
    assert again.summary.resumed_from == again.summary.steps == 6
    second = load_file(again.model / weights.name)
    assert all((first[name] == second[name]).all() for name in first)


def test_resumed_from_a_checkpoint_it_ends_where_it_would_have(supervised, tmp_path):
    from safetensors.torch import load_file

    run = supervised("sft", tmp_path, **LORA, **{"lora.merge": False, "data.source": "solutions"})
    first = load_file(run.trained().model / "adapter_model.safetensors")
    train = run.directory / "train"
    (train / "summary.json").unlink()
    for name in ("final", "checkpoint-6"):
        shutil.rmtree(train / name)
    again = Run(run.recipe, 0, Settings(runs_dir=tmp_path, in_process=True)).trained()
    assert again.summary.resumed_from == 4
    second = load_file(again.model / "adapter_model.safetensors")
    assert all((first[name] - second[name]).abs().max() < 1e-6 for name in first)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_every_method_trains_an_adapter(supervised, method, tmp_path):
    overrides = {**LORA, "lora.merge": False, "train.max_steps": 2, "lora.target_modules": ["q_proj", "v_proj"]}
    if method == "grpo":
        recipe = find_recipe("tiny-arithmetic").override(GRPO | {"train.beta": 0.1} | overrides)
        run = Run(recipe, 0, Settings(runs_dir=tmp_path, in_process=True))
    else:
        run = supervised("dpo", **overrides)
    trained = run.trained()
    config = json.loads((trained.model / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert (config["r"], config["lora_alpha"]) == (8, 32)
    assert run.after().summary.questions == 8
    if method == "grpo":
        assert all("kl" in row for row in trained.metrics if "loss" in row)
    else:
        margins = [row["rewards/margins"] for row in trained.metrics if "rewards/margins" in row]
        assert margins[0] == pytest.approx(0, abs=1e-5)
        assert margins[-1] != margins[0]


def test_an_adapter_is_a_model_to_judge_and_to_train(unmerged, supervised):
    """As ``--rl-model`` gives it: the same answers before, and another adapter may be trained on top of it."""
    run = supervised("sft", **LORA, **{"model.name": str(unmerged.trained().model), "lora.merge": False})
    assert [each.completion for each in run.before().records] == [each.completion for each in unmerged.after().records]
    base = json.loads((run.trained().model / "base.json").read_text())
    assert base["name"] == str(unmerged.trained().model)
    assert run.after().summary.questions == 8


def test_an_adapter_on_what_another_run_trained_is_found_where_both_were_copied(unmerged, supervised, tmp_path):
    first = unmerged.trained().model
    run = supervised("sft", **LORA, **{"model.name": str(first), "lora.merge": False})
    second = run.trained().model
    runs = tmp_path / "elsewhere"
    for model in (first, second):
        shutil.copytree(model, runs / model.relative_to(run.settings.runs_dir))
    copied = resolve_model(str(runs / second.relative_to(run.settings.runs_dir)))
    assert copied.base is not None
    assert copied.base.path == (runs / first.relative_to(run.settings.runs_dir)).resolve()
    assert fingerprint(copied) == fingerprint(resolve_model(str(second)))
    # Alone, it still finds its base by its full name.
    shutil.rmtree(copied.base.path)
    assert resolve_model(str(copied.path)).base.path == first.resolve()


def test_identity_is_of_base_and_adapter(unmerged, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(unmerged.trained().model, folder)
    source = resolve_model(str(folder))
    assert source.kind == "adapter"
    assert source.base == resolve_model("tiny")
    first = fingerprint(source)
    assert first == fingerprint(resolve_model(str(unmerged.trained().model)))
    assert first["weights"] != fingerprint(source.base)["weights"]
    assert first["tokenizer"] == fingerprint(source.base)["tokenizer"]
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1}))
    assert fingerprint(source)["config"] != first["config"]


def test_an_adapter_of_other_weights_is_refused(unmerged, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(unmerged.trained().model, folder)
    base = json.loads((folder / "base.json").read_text())
    base["fingerprint"]["weights"] = "0" * 64
    (folder / "base.json").write_text(json.dumps(base))
    with pytest.raises(ModelError, match=r"was trained on other weights than those in .*/tiny; put the old ones back"):
        fingerprint(resolve_model(str(folder)))


def test_an_adapter_that_names_no_model(unmerged, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(unmerged.trained().model, folder)
    (folder / "base.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="an adapter that names no model; write it as base_model_name_or_path in"):
        resolve_model(str(folder))


def test_without_peft_a_sentence_says_what_to_install(unmerged, supervised, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else found(name, *rest))
    with pytest.raises(
        RecipeError, match=r"tiny-arithmetic-sft.toml:1: lora: takes the peft package: pip install 'rl-harness\[lora\]'"
    ):
        supervised("sft", tmp_path, **LORA).trained()
    with pytest.raises(ModelError, match=r"takes the peft package: pip install 'rl-harness\[lora\]'"):
        load_policy(str(unmerged.trained().model), device="cpu")


def test_the_reference_of_grpo_on_an_adapter_is_that_adapter(unmerged, tmp_path):
    """TRL would load the model that the adapter belongs to, which is not what training started from: kl would not be
    0 before the first step."""
    changes = GRPO | {"model.name": str(unmerged.trained().model), "train.max_steps": 1, "train.beta": 0.1}
    run = Run(find_recipe("tiny-arithmetic").override(changes), 0, Settings(runs_dir=tmp_path, in_process=True))
    (step,) = [row for row in run.trained().metrics if "loss" in row]
    assert step["kl"] == pytest.approx(0, abs=1e-5)
    assert not (run.directory / "train" / "reference").exists()
