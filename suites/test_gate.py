"""Hold a trained policy against its committed baseline: red only for a real loss, never green for lack of data.

pytest suites/test_gate.py                                   # against suites/baselines/
pytest suites/test_gate.py --rl-update-baselines new         # record what is missing
pytest suites/test_gate.py --rl-stop-early                   # end generation when every gate has its verdict
"""


def test_is_no_worse_than_its_baseline(verdicts):
    """OK where a drop of ``margin`` is ruled out, REGRESSED where accuracy was lost beyond chance."""
    verdicts.require("baseline")


def test_recipe_holds_over_its_seeds(verdicts):
    """With several training seeds, a claim about the recipe: seeds are the unit, not questions."""
    verdicts.require("recipe")
