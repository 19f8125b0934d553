"""What a recipe needs beside itself is looked for before anything is made; tests/plugin has it told."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import harness
from harness.models.engines.base import TRUSTED_HOSTS
from harness.pipeline.loaded import open_endpoint
from harness.recipe import load_recipe
from harness.recipe.needs import check_needs
from harness.store.errors import RecipeError
from tests.small_recipes import small_recipe

SMALL, SFT = small_recipe(), small_recipe("sft")
REWARDS = "\n[rewards]\n"
LORA = "\n[lora]\nr = 4\n"
MISSING = "no such file or folder"
NO_WANDB = '[train] report_to: wandb is not installed: pip install wandb, or write report_to = "none"'


def tracked(tracker: str) -> str:
    return SMALL.replace("logging_steps = 1", f"report_to = {tracker}")


def changed(old: str, new: str, recipe: str = SMALL) -> str:
    assert old in recipe
    return recipe.replace(old, new)


GIVEN = changed("samples_per_question = 4", 'source = "nowhere.jsonl"', SFT)
NOT_THERE = changed('name = "tiny"', 'name = "./nowhere"')

# the recipe, the key in whose line it is told, and what is told
NEEDS = {
    "a module": (f'{SMALL}{REWARDS}"no_such_module:reward" = 1.0', "no_such_module", ": there is no module"),
    "a function": (f'{SMALL}{REWARDS}"mine:rewrad" = 1.0', '"mine', 'mine:rewrad: .*did you mean "mine:reward"?'),
    "a parameter": (
        f'{SMALL}{REWARDS}"mine:reward" = {{ weight=1, longst=3 }}',
        '"mine',
        "did you mean 'longest'?",
    ),
    "what raises": (f'{SMALL}{REWARDS}"raises:reward" = 1.0', '"raises', "raised ZeroDivisionError at raises.py:1: "),
    "peft": (SMALL + LORA, "[lora]", "lora: takes the peft package: pip install 'rl-harness[lora]'"),
    "a tracker": (tracked('"wandb"'), "report_to", NO_WANDB),
    "one of two": (tracked('["none", "wandb"]'), "report_to", NO_WANDB),
    "a name": (tracked('"wandbb"'), "report_to", "[train] report_to: no such tracker 'wandbb'; did you mean 'wandb'?"),
    "questions": (
        changed('name = "arithmetic"', 'name = "nowhere.jsonl"'),
        'name = "nowhere',
        f"[task] name: nowhere.jsonl: {MISSING}",
    ),
    "a model": (NOT_THERE, 'name = "./nowhere', f"[model] name: ./nowhere: {MISSING}"),
    "examples": (GIVEN, "source", f"[data] source: nowhere.jsonl: {MISSING}"),
    "an engine": (f'{SMALL}\n[engine]\nname = "vllm"\n', 'name = "vllm"', "[engine] name: vLLM is not installed: pip "),
    "a sampler": (
        tracked('"none"\nuse_vllm = true'),
        "use_vllm",
        "[train] use_vllm: vLLM is not installed: pip install",
    ),
    "gguf": (
        changed('name = "tiny"', 'name = "x.GGUF"'),
        "name =",
        "[model] name: reading GGUF files takes the gguf package: pip install 'rl-harness[gguf]'",
    ),
    "too few to train on": (
        changed('name = "arithmetic"', 'name = "repeats"'),
        "train_questions",
        "[task] train_questions: task '.*repeats' has 20 train questions left, the recipe asks for 24; .*; 16 more "
        "have the text of a test question and are not trained on",
    ),
    "too few to ask": (
        changed('name = "arithmetic"', 'name = "few.csv"'),
        "test_questions",
        "[task] test_questions: task '.*few.csv' has 1 test question left, the recipe asks for 8",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where none of the optional packages is installed, and a run of wandb's left its folder."""
    found, absent = importlib.util.find_spec, {"peft", "vllm", "gguf"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else found(name, *rest))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wandb").mkdir()
    mine = "def reward(prompts, completions, *, longest=1, ground_truth=None):\n    return [0.0] * len(completions)\n"
    (tmp_path / "mine.py").write_text(mine)
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "few.csv").write_text("question,answer\nx,1\n")
    (tmp_path / "column.csv").write_text("frage,answer\nx,1\n")
    asked, others = [f"{n}?" for n in range(8)], [f"{n}!" for n in range(20)]
    (tmp_path / "repeats").mkdir()
    for name, texts in {"test": asked, "train": [*asked, *asked, *others]}.items():
        lines = (f'{{"question": "{text}", "answer": "1"}}\n' for text in texts)
        (tmp_path / "repeats" / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path


def loaded(folder: Path, text: str, name: str = "small") -> harness.recipe.Recipe:
    (folder / f"{name}.toml").write_text(text)
    return load_recipe(folder / f"{name}.toml")


@pytest.mark.parametrize("need", NEEDS)
def test_what_a_recipe_lacks_is_told_with_its_line(folder: Path, need: str) -> None:
    text, key, words = NEEDS[need]
    line = text[: text.index(key)].count("\n") + 1
    pattern = re.escape(words).replace(r"\.\*", ".*")
    with pytest.raises(RecipeError, match=rf"small\.toml:{line}: .*{pattern}"):
        check_needs(loaded(folder, text))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (SMALL + LORA, {"trains": False}),
        (tracked('"wandb"'), {"trains": False}),
        (tracked('"none"'), {}),
        (GIVEN, {"trains": False}),
        (tracked('"none"\nuse_vllm = true'), {"trains": False}),
        (f'{SMALL}\n[engine]\nname = "vllm"\n', {"trains": False, "model": False}),
        (changed('name = "arithmetic"', 'name = "few.csv"'), {"questions": False}),
        (changed('name = "arithmetic"', 'name = "few.csv"'), {"reads": False}),
        (changed('name = "arithmetic"', 'name = "gsm8k"'), {}),
        (NOT_THERE, {"trains": False, "model": False}),
        (changed('name = "tiny"', 'name = "/models/x.gguf"\nendpoint = "http://127.0.0.1:9/v1"'), {}),
    ],
)
def test_what_is_not_asked_for_is_not_needed(folder: Path, text: str, asked: dict[str, bool]) -> None:
    check_needs(loaded(folder, text), **asked)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model.name", "./nowhere", f"[model] name: ./nowhere: {MISSING}"),
        ("model.name", "~nobody-here/nowhere", f"[model] name: ~nobody-here/nowhere: {MISSING}"),
        ("task.name", "nowhere.jsonl", f"[task] name: nowhere.jsonl: {MISSING}"),
        ("train.report_to", ["wandb", "mlflow"], "[train] report_to: wandb is not installed: pip install wandb"),
    ],
)
def test_what_an_option_gave_is_no_line_of_the_recipe(folder: Path, key: str, value: object, says: str) -> None:
    recipe = loaded(folder, SMALL).override({key: value})
    with pytest.raises(RecipeError) as caught:
        check_needs(recipe, given=[f"--rl-set {key}={value}"])
    assert str(caught.value).startswith(says)
    assert str(caught.value).endswith(f"(under --rl-set {key}={value})")


def test_a_recipe_needs_what_the_one_that_it_starts_from_needs(folder: Path) -> None:
    loaded(folder, GIVEN, "parent")
    with pytest.raises(RecipeError, match=r"parent\.toml:\d+: \[data\] source"):
        check_needs(loaded(folder, small_recipe(model='from_recipe = "parent"'), "child"))


def test_a_call_from_python_is_told_before_the_base_model_is_asked(folder: Path) -> None:
    loaded(folder, GIVEN)
    with pytest.raises(RecipeError, match=r"small\.toml:\d+: \[data\] source: nowhere\.jsonl: no such file"):
        harness.run(folder / "small.toml", runs_dir=folder / "runs")
    assert not (folder / "runs").exists()


def test_questions_that_cannot_be_read_are_told_with_their_line(folder: Path) -> None:
    recipe = loaded(folder, changed('name = "arithmetic"', 'name = "column.csv"'))
    with pytest.raises(
        RecipeError, match=r"column\.csv:2: no field 'question' \(fields here: frage, answer\); name yours"
    ):
        check_needs(recipe)
    with pytest.raises(RecipeError, match=r"test_questions: .* has 1 test question left"):
        check_needs(recipe, data=folder / "few.csv")


SERVED = {"model.endpoint": "http://h"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (SERVED | {"engine.omit": ["max_tokens"]}, "omit: must be a list of 'seed', 'temperature' or 'top_p'"),
        (SERVED | {"engine.omit": "seed"}, "omit: must be a list of 'seed', 'temperature' or 'top_p'"),
        (SERVED | {"engine.deadline_seconds": 0}, "must be a number of seconds above 0 and under a million, not 0"),
        (SERVED | {"engine.concurency": 3}, "concurency: unknown key of an endpoint; did you mean"),
        (SERVED | {"engine.concurrency": 0}, "must be a whole number of requests, 1 or more, not 0"),
        (SERVED | {"engine.tries": True}, "tries: must be a whole number, 1 or more, not True"),
        (SERVED | {"engine.name": "vllm"}, "the server of [model] endpoint answers, not vllm"),
        ({"model.endpoint": "localhost:8000"}, "[model] endpoint: is no address of a server; write one such as http"),
        ({"model.endpoint": "http://me:hidden@host/v1"}, "endpoint: must hold no user, password or query"),
        ({"engine.concurency": 3}, "[engine] concurency: unknown key of the transformers engine"),
        ({"engine.tries": 3}, "unknown key of the transformers engine; it is for [model] endpoint"),
    ],
)
def test_keys_of_a_server(folder: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(says)):
        check_needs(loaded(folder, SMALL).override(changes))


ELSEWHERE = changed('name = "tiny"', 'endpoint = "https://api.example.com/v1"') + '\n[engine]\nkey_env = "CLOUD_KEY"\n'


def test_a_recipe_from_elsewhere_takes_no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its file names the server, the user has to have named it too; what was asked by an option was."""
    recipe = loaded(folder, ELSEWHERE)
    monkeypatch.delenv(TRUSTED_HOSTS, raising=False)
    check_needs(recipe, trains=False)  # there is none
    monkeypatch.setenv("CLOUD_KEY", "opensesame")
    says = (
        "[model] endpoint: the key in CLOUD_KEY would be sent to api.example.com; where that is meant, set "
        'RL_HARNESS_TRUSTED_HOSTS=api.example.com in the environment, or write key_env = "" under [engine] to send none'
    )
    with pytest.raises(RecipeError, match=re.escape(says)):
        check_needs(recipe, trains=False)
    with pytest.raises(RecipeError, match=re.escape(says)):  # without any check before
        open_endpoint(recipe)
    check_needs(recipe.override({"engine.key_env": ""}), trains=False)
    check_needs(recipe.override({"engine.key_env": "OTHER_KEY"}), trains=False)
    check_needs(recipe.override({"model.endpoint": "https://other.example.com/v1"}), trains=False)
    monkeypatch.setenv(TRUSTED_HOSTS, "example.com,api.example.com")
    check_needs(recipe, trains=False)


def test_the_usual_key_is_a_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "opensesame")
    with pytest.raises(
        RecipeError, match=r"small\.toml:\d+: \[model\] endpoint: the key in OPENAI_API_KEY would be sent to"
    ):
        check_needs(loaded(folder, ELSEWHERE.partition("\n[engine]")[0]), trains=False)
    check_needs(loaded(folder, ELSEWHERE.replace("https://api.example.com", "http://localhost:9")), trains=False)
