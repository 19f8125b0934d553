"""Recipes that are right: what a file becomes, what it defaults to, and that it survives being changed and written."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from harness.recipe import EvaluateSection, GateSection, ModelSection, Recipe, TaskSection, TrainSection, load_recipe
from harness.recipe.catalog import SHIPPED_RECIPES, find_recipe, recipe_files
from harness.recipe.messages import line_of
from harness.recipe.trl_arguments import argument_defaults, completions_per_batch
from harness.store.errors import RecipeError

SHORT = """
[model]
name = "tiny"
[task]
name = "arithmetic"
train_questions = 20
test_questions = 10
[train]
num_generations = 4
"""


def built(**changes: object) -> Recipe:
    """The recipe of ``SHORT``, made in Python."""
    parts = {
        "name": "short",
        "model": ModelSection(name="tiny"),
        "task": TaskSection(name="arithmetic", train_questions=20, test_questions=10),
        "train": TrainSection(arguments={"num_generations": 4}),
    }
    return Recipe(**{**parts, **changes})


@pytest.fixture
def short(tmp_path: Path) -> Recipe:
    path = tmp_path / "short.toml"
    path.write_text(SHORT)
    return load_recipe(path)


def test_defaults_and_name(short: Recipe, tmp_path: Path) -> None:
    assert (short.name, short.seeds, short.requires, short.rewards) == ("short", [0], [], {"boxed_numeric": 1.0})
    assert short.evaluate == EvaluateSection(max_new_tokens=512, temperature=0.0, samples_per_question=1)
    assert short.gate == GateSection(margin=0.05, alpha=0.05, power=0.8, stop_early=False)
    assert short.gate.min_accuracy is short.gate.min_improvement is None
    assert short.source == tmp_path / "short.toml"


def test_python_and_toml_give_the_same(short: Recipe) -> None:
    assert built(source=short.source) == short
    assert built().source is None


def test_keys_of_train_go_to_trl_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(SHORT + 'method = "grpo"\nlearning_rate = 5e-6\nbf16 = true\nmax_steps = 2\n')
    assert load_recipe(path).train == TrainSection(
        arguments={"num_generations": 4, "learning_rate": 5e-6, "bf16": True, "max_steps": 2}
    )
    assert TrainSection(num_generations=4) == TrainSection(arguments={"num_generations": 4})


@pytest.mark.parametrize("name", sorted(recipe_files()))
def test_shipped_recipes_survive_being_written(name: str, tmp_path: Path) -> None:
    recipe = find_recipe(name)
    assert recipe.source == SHIPPED_RECIPES / f"{name}.toml"
    copy = tmp_path / f"{name}.toml"
    copy.write_text(recipe.to_toml())
    again = load_recipe(copy)
    assert again.model_dump() == recipe.model_dump()
    assert again.to_toml() == recipe.to_toml()


def test_the_classic_recipe_is_the_classic_one() -> None:
    recipe = find_recipe("gsm8k-qwen2.5-0.5b")
    assert recipe.model.name == "Qwen/Qwen2.5-0.5B-Instruct"
    assert recipe.requires == ["gpu"]
    assert recipe.task.train_questions == 100
    classic = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "num_generations": 4,
        "num_train_epochs": 1,
        "learning_rate": 5e-6,
        "logging_steps": 5,
    }
    assert classic.items() <= recipe.train.arguments.items()
    assert completions_per_batch({**argument_defaults("grpo"), **recipe.train.arguments}) == 8


def test_a_changed_recipe_is_a_new_one(short: Recipe) -> None:
    changed = short.override({"train.max_steps": 2, "gate.min_accuracy": 0.5, "seeds": [1, 2]})
    assert changed.train.arguments == {"num_generations": 4, "max_steps": 2}
    assert (changed.gate.min_accuracy, changed.seeds, changed.source) == (0.5, [1, 2], short.source)
    assert short == built(source=short.source)
    with pytest.raises(ValueError, match="frozen"):
        short.name = "other"


@pytest.mark.parametrize(
    ("key", "value", "section", "found"),
    [
        ("rewards.my_package.rewards:short", 0.5, "rewards", {"boxed_numeric": 1.0, "my_package.rewards:short": 0.5}),
        ("rewards", {"format_boxed": 2}, "rewards", {"format_boxed": 2.0}),
        ("model.name", "org/model-2.5", "model", ModelSection(name="org/model-2.5")),
        (
            "model.chat_template_kwargs.enable_thinking",
            False,
            "model",
            ModelSection(name="tiny", chat_template_kwargs={"enable_thinking": False}),
        ),
    ],
)
def test_dotted_keys(short: Recipe, key: str, value: object, section: str, found: object) -> None:
    assert getattr(short.override({key: value}), section) == found


def test_overriding_a_field_and_taking_a_threshold_back() -> None:
    table = {"task.name": "q.jsonl", "task.fields.question": "problem"}
    assert built().override(table).task.fields == {"question": "problem"}
    asked = built(gate=GateSection(min_accuracy=0.5))
    assert asked.override({"gate.min_accuracy": None}).gate.min_accuracy is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trian.max_steps", r"^trian\.max_steps: unknown key; did you mean 'train\.max_steps'\?$"),
        ("train.num_train_epoch", r"unknown key of TRL's grpo config; did you mean 'num_train_epochs'\?$"),
        ("train.reward_weight", r"grpo config; reward_weights is not set here: write name = weight under \[rewards\]$"),
        ("train.max_step", r"^\[train\] max_step: unknown key of TRL's grpo config; did you mean 'max_steps'\?$"),
        ("train.max_steps.more", r"^\[train\] max_steps\.more: unknown key"),
        ("learning_rate", r"^learning_rate: unknown key; it belongs under \[train\]$"),
        ("engine.foo", r"^\[engine\] foo: unknown key of the transformers engine; valid: name, sampling$"),
        ("gate.alpah", r"^\[gate\] alpah: unknown key; did you mean 'alpha'\?$"),
    ],
)
def test_overrides_that_name_no_key(key: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        built().override({key: 2})


def test_limits_cut_and_never_add() -> None:
    cut = built().limited(12)
    assert (cut.task.train_questions, cut.task.test_questions) == (12, 10)
    assert built().limited(1000) == built()
    with pytest.raises(RecipeError, match=r"a limit of 0 questions leaves nothing to ask; give 1 or more"):
        built().limited(0)


def test_recipes_travel_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(built())) == built()


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text(SHORT, encoding="utf-8-sig")
    assert load_recipe(path).model_dump() == built().model_dump()


def test_recipes_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    (tmp_path / "tiny-arithmetic.toml").write_text(SHORT)
    assert find_recipe("tiny-arithmetic").task.test_questions == 400
    assert find_recipe("tiny-arithmetic", tmp_path).task.test_questions == 10
    assert find_recipe(tmp_path / "tiny-arithmetic.toml").task.test_questions == 10
    assert find_recipe(built()) == built()
    with pytest.raises(RecipeError, match=r"no recipe named 'tiny-arithmetics'; did you mean 'tiny-arithmetic'\?"):
        find_recipe("tiny-arithmetics")
    with pytest.raises(RecipeError, match=r"nothere\.toml: no such recipe file"):
        find_recipe(tmp_path / "nothere.toml")


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("description",), 1),
        (("task",), 4),
        (("task", "name"), 5),
        (("task", "fields", "answer"), 6),
        (("task", "nowhere"), 4),
        (("model", "name"), 9),
        (("rewards", "pkg.mod:f"), 11),
        (("rewards", "quoted"), 12),
        (("gate", "alpha"), 13),
        (("evaluate", "seed"), 1),
    ],
)
def test_lines_of_keys(location: tuple[str, ...], line: int) -> None:
    text = (
        'description = "d"\n# name = 3\n\n[task]  # questions\nname = "x"\nfields = { answer = "a" }\n'
        '[task.more]\n[ model ]\n  name="tiny"\n[rewards]\n"pkg.mod:f" = 1\n"quoted"=2\n[gate]\n'
    )
    assert line_of(text, location) == line


def test_rewards_with_parameters(tmp_path):
    """Weights read as before; parameters and limits stand beside them and survive TOML and overrides."""
    path = tmp_path / "penalised.toml"
    path.write_text(
        '[model]\nname = "tiny"\n[task]\nname = "arithmetic"\ntrain_questions = 64\ntest_questions = 8\n'
        '[rewards]\ntimeout_seconds = 30\n"my.mod:judge" = { weight = 2, model = "small", timeout_seconds = 5 }\n'
        "boxed_numeric = 1\n[rewards.length_penalty]\nweight = 0.2\nmax_tokens = 400\nsoft_tokens = 100\n"
    )
    recipe = load_recipe(path)
    assert list(recipe.rewards.items()) == [("my.mod:judge", 2.0), ("boxed_numeric", 1.0), ("length_penalty", 0.2)]
    assert recipe.rewards.parameters["length_penalty"] == {"max_tokens": 400, "soft_tokens": 100}
    assert [recipe.rewards.limit(name) for name in recipe.rewards] == [5.0, 30.0, 30.0]
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    again = load_recipe(tmp_path / "again.toml")
    assert again.rewards == recipe.rewards
    assert list(again.rewards) == list(recipe.rewards)  # the first that grades decides
    changed = recipe.override({"rewards.length_penalty.max_tokens": 300})
    assert changed.rewards.parameters["length_penalty"]["max_tokens"] == 300
    assert changed != recipe
    assert changed.rewards.settings() != recipe.rewards.settings()
    plain = recipe.override({"rewards": {"boxed_numeric": 1.0}})
    assert plain.rewards.settings() == {}
    assert plain.rewards == {"boxed_numeric": 1.0}
