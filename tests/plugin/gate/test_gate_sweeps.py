"""A sweep's gates: each value is judged by itself, and all of them share alpha with the seeds."""

from __future__ import annotations


def test_values_are_runs_and_share_alpha(made_up):
    made_up.recipe("units", seeds=[0, 1])
    made_up.policies["units"] = "n % 10"
    session = made_up.pytest("-k", "improvement", "--rl-set=train.learning_rate=[1e-6, 5e-6]", "--rl-name=try")
    assert session.ret == 0, session.text
    names = [f"try lr={rate} seed {seed}" for rate in ("1e-6", "5e-6") for seed in (0, 1)]
    for name in names:
        assert session.words(name)["improvement"][0] == "IMPROVED"
    made = {path.name for path in (made_up.path / "rl-runs").iterdir() if not path.name.startswith(".")}
    assert made == {name.replace(" ", "-").replace("=", "-") for name in names}
    numbers = made_up.verdicts("try-lr-1e-6-seed-0")["improvement"]["numbers"]
    assert numbers["alpha"] == 0.05 / 4
    rows = made_up.cli("runs").outlines
    assert sorted(row.split("  ")[0] for row in rows[1:]) == names
    column = rows[0].index("differs in")
    assert [row[column:].split("  ")[0] for row in sorted(rows[1:])] == ["lr=1e-6", "lr=1e-6", "lr=5e-6", "lr=5e-6"]
    assert (
        made_up.cli("compare", "try lr=1e-6 seed 0", "try-lr-5e-6-seed-1")
        .outlines[0]
        .startswith("OK  try lr=1e-6 seed 0 → ")
    )
