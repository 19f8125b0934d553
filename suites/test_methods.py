"""Hold training methods against each other: same base, same questions, same number of sampled completions.

pytest suites/test_methods.py                                  # recipes of one model, task, rewards, evaluation, seeds
pytest suites/test_methods.py --rl-set 'seeds=[0, 1, 2]'

Nothing here says which method must win: the terminal (a table with ``-v``) and ``methods.json`` say which did.
"""

from itertools import combinations


def test_methods_start_from_one_base_and_cost_the_same(methods):
    """Comparing runs of other bases or questions is refused; the completions that were sampled are counted here."""
    assert len({row.method for row in methods.rows}) > 1
    assert not methods.differing, f"not the same in all runs: {', '.join(methods.differing)}"


def test_every_pair_is_judged_on_the_same_questions(methods, rl_runs):
    """Each two recipes are held against each other, and all pairs together share alpha."""
    names = [row.recipe for row in methods.rows]
    assert [(pair.a, pair.b) for pair in methods.pairs] == list(combinations(names, 2))
    assert sum(pair.alpha for pair in methods.pairs) <= rl_runs[0].recipe.gate.alpha + 1e-9
    assert all(pair.interval[0] <= pair.difference <= pair.interval[1] for pair in methods.pairs)


def test_every_method_has_its_verdicts(rl_runs):
    """Training was sound, and there is a verdict on what each method gained."""
    for run in rl_runs:
        training, improvement = run.verdict("training"), run.verdict("improvement")
        assert training.passed, f"{run.id}: {training.sentence}"
        assert improvement is not None
