"""The reward audit in the report: the matrix, the hacks' prices, notes of failing rewards, and files that are odd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_runs import write_run
from report_pages import run_page_of

from harness.report.audit import audit_of
from harness.report.render import render_session
from harness.rewards.audit import audit_rewards
from harness.store.run_directory import plain
from harness.tasks import Question


@pytest.fixture(scope="module")
def kept() -> dict:
    questions = [Question("a", "?", "42", "test"), Question("b", "?", "", "test")]
    return json.loads(
        json.dumps(plain(audit_rewards({"boxed_numeric": 1.0, "format_boxed": 0.25}, questions).to_json()))
    )


def page_of(folder: Path, audit: object) -> str:
    run = write_run(folder)
    (run / "audit.json").write_text(json.dumps(audit))
    return run_page_of(render_session([run], folder / "report")).read_text(encoding="utf-8")


def test_the_section_shows_the_matrix_and_the_prices(tmp_path: Path, kept: dict) -> None:
    page = page_of(tmp_path, kept)
    assert "Reward audit" in page
    assert page.count('<li class="cell ') == 2 * len(kept["rewards"][0]["cases"])
    assert "boxed_numeric refuses 1 gold answers of 2: b" in page
    assert "a right answer is paid <b>1.25</b>, a wrong one <b>0.25</b> and none <b>0</b>" in page
    assert "What a hack would be paid (4 more than an honest wrong answer)" in page


def test_the_view_counts_what_the_file_holds(kept: dict) -> None:
    audit = audit_of(kept)
    assert audit is not None
    assert next(hack.name for hack in audit.hacks if hack.above_wrong) == "wrong, then right"
    assert all(good == of > 0 for reward in audit.rewards for good, of in reward.passed.values())
    assert len(audit.disagreements) == len(kept["disagreements"])
    assert (audit.golds[0].accepted, audit.golds[0].questions) == (1, 2)


@pytest.mark.parametrize(
    "odd", [{}, {"rewards": 3}, {"rewards": [{}]}, {"rewards": [{"cases": [{}, 4], "name": None}]}]
)
def test_an_odd_file_does_no_harm(tmp_path: Path, odd: dict) -> None:
    assert "</html>" in page_of(tmp_path, odd)


def test_markup_in_a_case_is_text(tmp_path: Path, kept: dict) -> None:
    hostile = json.loads(json.dumps(kept).replace("whatever is correct", "<script>alert(1)</script>"))
    assert "<script>alert(1)" not in page_of(tmp_path, hostile)


def test_what_failed_is_a_note(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    sentence = 'reward "my:f" gave no value for 3 of 64 completions: raised ValueError: <no> (3)'
    (run / "train" / "rewards.json").write_text(json.dumps({"functions": {"my:f": {"sentence": sentence}}}))
    page = run_page_of(render_session([run], tmp_path / "report")).read_text(encoding="utf-8")
    assert "gave no value for 3 of 64 completions: raised ValueError: &lt;no&gt; (3), in training." in page
