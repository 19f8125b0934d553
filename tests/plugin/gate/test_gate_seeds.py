"""Three training seeds: the claim about the recipe, beside those about its checkpoints."""

from __future__ import annotations

import re

import pytest

from harness.plugin.summary import ONE_MODEL

# Ten of 200 are wrong when recorded.
WRONG = {"small-0": "n % 20", "small-1": "n % 19", "small-2": "n % 21"}


@pytest.fixture(scope="module")
def recorded(shared_made_up):
    project = shared_made_up
    project.recipe("small", seeds=[0, 1, 2])
    project.policies |= WRONG
    project.pytest("--rl-update-baselines=new", "-k", "baseline")
    return project


def judge(project, policies, runs, *options):
    project.policies |= policies
    return project.pytest(f"--rl-runs-dir={runs}", "-rs", "-k", "baseline or recipe", *options)


def spread(session):
    """What is said of the recipe, once."""
    assert session.text.count("  recipe: ") == 1
    word, sentence = session.words("small", seed=2)["recipe"]
    return word, sentence


def test_recipe_regressed_where_every_seed_lost(recorded):
    """Seven gates share alpha: two a seed, and the recipe's."""
    lost = {name: f"{right} and n % 5 != {int(name[-1])}" for name, right in WRONG.items()}
    session = judge(recorded, lost, "rl-lost", "-n2")
    word, sentence = spread(session)
    assert word == "REGRESSED", sentence
    assert re.match(r"-\d+\.\d points against the baseline, the mean of 3 trained models, one a seed \(", sentence)
    assert sentence.endswith("in about 0.714 % of such tests (alpha .05 shared by 7 gates)")
    for seed in range(3):
        assert (
            "at most 0.714 % of such tests (alpha .05 shared by 7 gates)" in session.words("small", seed)["baseline"][1]
        )
    assert session.ret == 1


def test_one_lost_seed_says_nothing_of_the_recipe(recorded):
    """The checkpoint REGRESSED beyond chance; the recipe cannot be told from one seed in three."""
    session = judge(recorded, WRONG | {"small-1": "n % 2"}, "rl-one")
    assert session.words("small", 1)["baseline"][0] == "REGRESSED"
    assert session.words("small", 0)["baseline"][0] == "OK"
    word, sentence = spread(session)
    assert word == "INCONCLUSIVE"
    assert " points against the baseline, the mean of 3 " in sentence
    assert sentence.endswith("; this may be luck (alpha .05 shared by 7 gates); train more seeds")


def test_the_other_seeds_say_where_to_look(recorded):
    session = judge(recorded, WRONG, "rl-same")
    for seed in (0, 1):
        expected = f"small seed {seed}: the verdict about the recipe comes with its last seed, 2"
        assert re.search(rf"SKIPPED .*{expected}", session.text)


def test_two_seeds_are_too_few(made_up):
    made_up.recipe("small", seeds=[0, 1])
    session = made_up.pytest("-k", "recipe")
    word, sentence = session.words("small", 1)["recipe"]
    assert word == "INCONCLUSIVE"
    assert sentence == "a claim about the recipe takes 3 seeds or more; 2 can speak of these 2 trained models only"
    assert ONE_MODEL not in session.text


def test_verdicts_on_models_say_so_once(made_up):
    """Where every recipe has one seed, and only where something was claimed."""
    for name in ("one", "two"):
        made_up.recipe(name)
    assert made_up.pytest("-k", "improvement").section.count(ONE_MODEL) == 1
    assert ONE_MODEL not in made_up.pytest("-k", "training", "--rl-runs-dir=rl-trained").text
    made_up.recipe("two", seeds=[0, 1])
    assert ONE_MODEL not in made_up.pytest("-k", "improvement").text


def test_deselected_gates_share_no_alpha(made_up):
    for name in ("one", "two"):
        made_up.recipe(name)
    made_up.pytest("-k", "improvement")
    assert made_up.verdicts("one")["improvement"]["numbers"]["alpha"] == 0.025
    made_up.pytest("-k", "improvement and one")
    assert made_up.verdicts("one")["improvement"]["numbers"]["alpha"] == 0.05
