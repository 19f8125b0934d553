"""What must hold of every recipe in suites/recipes that this machine can run.

pytest suites                               # train and judge; the report is rl-report/index.html
pytest suites --rl-update-baselines new     # record what later changes are held against
"""


def test_rewards_pay_for_right_answers(audit):
    """No right answer is refused, and no near miss or hack is paid."""
    assert not audit.findings, "\n".join(audit.findings)


def test_training_is_sound(verdicts):
    verdicts.require("training")


def test_beats_its_base_model(verdicts):
    """On the same questions, beyond chance."""
    verdicts.require("improvement")


def test_reaches_its_accuracy(verdicts):
    """``min_accuracy``; skipped where the recipe names none."""
    verdicts.require("accuracy")


def test_is_no_worse_than_its_baseline(verdicts):
    """REGRESSED where accuracy was lost beyond chance; skipped until a baseline is recorded."""
    verdicts.require("baseline")
