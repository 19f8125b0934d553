"""LoRA on the embedded model: trained by every method, saved merged or not, loaded back, resumed."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from harness.models import fingerprint, generate, load_policy, resolve_model
from harness.store.errors import ModelError, RecipeError
from tests.training.jobs import run_of, weights_of

LORA = {"lora__r": 8, "train__learning_rate": 5e-3}
UNMERGED = {**LORA, "lora__merge": False}


@pytest.fixture(scope="module")
def unmerged(supervised):
    run = supervised("sft", **UNMERGED)
    run.trained()
    return run


@pytest.fixture(scope="module")
def merged(supervised):
    run = supervised("sft", **LORA, lora__merge=True)
    run.trained()
    return run


@pytest.fixture
def adapter(unmerged, tmp_path):
    """A copy of what it trained, to be damaged freely."""
    return shutil.copytree(unmerged.trained().model, tmp_path / "copy")


def answers(policy, run):
    found = (each for batch in generate(policy, run.questions.test, run.recipe.evaluate) for each in batch)
    return {each.question_id: each.completion for each in found}


def test_merged_and_unmerged_give_the_same_answers(unmerged, merged):
    """Greedy decoding; the adapter as it is, merged after loading, and a run that saved merged weights."""
    adapted = load_policy(str(unmerged.trained().model), device="cpu")
    assert hasattr(adapted.model, "merge_and_unload")
    said = answers(adapted, unmerged)
    assert said != answers(load_policy("tiny", device="cpu"), unmerged), "the adapter changes nothing"
    assert answers(adapted.merged(), unmerged) == said
    for run in (unmerged, merged):
        assert {each.question_id: each.completion for each in run.after().records} == said


def test_what_is_saved(unmerged, merged):
    folder = unmerged.trained().model
    assert not (folder / "model.safetensors").exists()
    assert json.loads((folder / "base.json").read_text())["name"] == "tiny"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    names = weights_of(folder)
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names), "only the adapter is trained"
    assert any("down_proj" in name for name in names)
    assert not any("lm_head" in name or "embed" in name for name in names)
    assert (merged.trained().model / "model.safetensors").is_file()
    assert not (merged.trained().model / "adapter_config.json").exists()


@pytest.mark.parametrize(("kind", "checkpoint"), [("merged", 6), ("unmerged", 6), ("unmerged", 4)])
def test_killed_it_ends_where_it_would_have(request, tmp_path, kind, checkpoint):
    """Killed while it saved, it trains no further step; killed before, it goes on from a checkpoint."""
    run = request.getfixturevalue(kind)
    whole = weights_of(run.trained().model)
    shutil.copytree(run.directory, tmp_path / run.directory.name)
    again = run_of(tmp_path, "sft", **LORA, lora__merge=kind == "merged")
    train = again.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "final")
    if checkpoint == 4:
        shutil.rmtree(train / "checkpoint-6")
    trained = again.trained()
    assert (trained.summary.resumed_from, trained.summary.steps) == (checkpoint, 6)
    found = weights_of(trained.model)
    assert all((whole[name] - found[name]).abs().max() < (1e-6 if checkpoint == 4 else 1e-12) for name in whole)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_every_method_trains_an_adapter(supervised, method):
    beta = {"train__beta": 0.1} if method == "grpo" else {}
    run = supervised(method, **UNMERGED, **beta, train__max_steps=2, lora__target_modules=["q_proj", "v_proj"])
    trained = run.trained()
    config = json.loads((trained.model / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert (config["r"], config["lora_alpha"]) == (8, 32)
    assert run.after().summary.questions == 8
    key = "kl" if method == "grpo" else "rewards/margins"
    first, last = [row[key] for row in trained.metrics if "loss" in row]
    assert first == pytest.approx(0, abs=1e-5), "the reference is the policy that training began from"
    assert last != first


def test_an_adapter_is_a_model_to_judge_and_to_train(unmerged, supervised, tmp_path):
    """As ``--rl-model`` gives it: the same answers before, and another adapter may be trained on top of it, which is
    found where both were copied."""
    first = unmerged.trained().model
    run = supervised("sft", **UNMERGED, model__name=str(first), train__max_steps=2)
    assert [each.completion for each in run.before().records] == [each.completion for each in unmerged.after().records]
    second = run.trained().model
    assert json.loads((second / "base.json").read_text())["name"] == str(first)
    assert run.after().summary.questions == 8

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


def test_identity_is_of_base_and_adapter(unmerged, adapter):
    source = resolve_model(str(adapter))
    assert source.kind == "adapter"
    assert source.base == resolve_model("tiny")
    first = fingerprint(source)
    assert first == fingerprint(resolve_model(str(unmerged.trained().model)))
    assert first["weights"] != fingerprint(source.base)["weights"]
    assert first["tokenizer"] == fingerprint(source.base)["tokenizer"]
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1}))
    assert fingerprint(source)["config"] != first["config"]


def test_an_adapter_without_its_base_is_refused(adapter):
    base = json.loads((adapter / "base.json").read_text())
    base["fingerprint"]["weights"] = "0" * 64
    (adapter / "base.json").write_text(json.dumps(base))
    with pytest.raises(ModelError, match=r"was trained on other weights than those in .*/tiny; put the old ones back"):
        fingerprint(resolve_model(str(adapter)))
    (adapter / "base.json").unlink()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="an adapter that names no model; write it as base_model_name_or_path in"):
        resolve_model(str(adapter))


def test_without_peft_a_sentence_says_what_to_install(unmerged, supervised, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else found(name, *rest))
    install = r"takes the peft package: pip install 'rl-harness\[lora\]'"
    with pytest.raises(RecipeError, match=rf"tiny-arithmetic-sft.toml:1: lora: {install}"):
        supervised("sft", lora__r=4).trained()
    with pytest.raises(ModelError, match=install):
        load_policy(str(unmerged.trained().model), device="cpu")


def test_the_reference_of_grpo_on_an_adapter_is_that_adapter(unmerged, tmp_path):
    """TRL would load the model that the adapter belongs to, which is not what training started from: kl would not be
    0 before the first step."""
    run = run_of(tmp_path, model__name=str(unmerged.trained().model), train__max_steps=1, train__beta=0.1)
    (step,) = [row for row in run.trained().metrics if "loss" in row]
    assert step["kl"] == pytest.approx(0, abs=1e-5)
    assert not (run.directory / "train" / "reference").exists()
