"""Judge a model as it is, without training.

pytest suites/test_evaluation.py --rl-model Qwen/Qwen2.5-0.5B-Instruct --rl-recipe gsm8k-qwen2.5-0.5b
pytest suites/test_evaluation.py --rl-model rl-runs/<run>/train/final
pytest suites/test_evaluation.py --rl-endpoint http://localhost:8000/v1 --rl-recipe tiny-arithmetic
"""

import pytest

from harness.gate import judge_accuracy
from harness.gate.verdicts import with_ungraded
from harness.plugin.options import get_option


def test_every_question_is_answered_and_graded(before, questions):
    """One record a question and sample, none of them unscored."""
    records = before.records
    assert {record.question_id for record in records} == {question.id for question in questions.test}
    unanswered = before.summary.unanswered
    assert not unanswered, unanswered.sentence
    unscored = [record.question_id for record in records if record.status == "unscored"]
    assert not unscored, f"{len(unscored)} answers could not be graded, first: {unscored[0]}"


def test_model_reaches_the_accuracy_threshold(before, recipe, require, pytestconfig):
    """With ``--rl-model`` or ``--rl-endpoint`` that model is what is judged, by the recipe's ``min_accuracy``."""
    judged = get_option(pytestconfig, "model") is not None or recipe.model.endpoint is not None
    if not judged or recipe.gate.min_accuracy is None:
        pytest.skip("judges the model of --rl-model or --rl-endpoint against a recipe's min_accuracy")
    verdict = judge_accuracy(list(before.means.values()), min_accuracy=recipe.gate.min_accuracy)
    require(with_ungraded(verdict, before.summary))
