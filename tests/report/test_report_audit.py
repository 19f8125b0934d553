"""The reward audit in the report: the matrix, the hacks' prices, notes of failing rewards, and files that are odd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_runs import write_run
from report_pages import run_page_of, words_of

from harness.report.render import render_session
from harness.report.tables import cases_of, hacks_of, kind_of
from harness.rewards.audit import audit_rewards
from harness.store.audit import AUDIT, Audit
from harness.store.records import FAULTS, FunctionFaults, RewardFaults
from harness.tasks import Question


@pytest.fixture(scope="module")
def kept() -> Audit:
    questions = [Question("a", "?", "42", "test"), Question("b", "?", "4}", "test")]
    return audit_rewards({"boxed_numeric": 1.0, "format_boxed": 0.25}, questions)


def page_of(folder: Path, audit: Audit) -> str:
    run = write_run(folder)
    AUDIT.write(run, audit)
    return run_page_of(render_session([run], folder / "report")).read_text(encoding="utf-8")


def test_the_section_shows_the_matrix_and_the_prices(tmp_path: Path, kept: Audit) -> None:
    page = page_of(tmp_path, kept)
    assert "What the rewards pay for" in page
    told = page.count("as promised</td>") + page.count("either is allowed")
    assert told == sum(len(reward.cases) for reward in kept.rewards)
    assert "boxed_numeric refuses 1 gold answers of 2: b" in page
    assert "a right answer is paid <b>1.25</b>, a wrong one <b>0.25</b> and none <b>0</b>" in page
    assert "boxed_numeric accepts 1 of 2 gold answers" in page
    assert "4 of 81 more than an honest wrong answer" in page


def test_hacks_that_are_paid_come_first_and_get_no_tick(tmp_path: Path, kept: Audit) -> None:
    kept = replace(kept, golds=())
    assert kept.findings == []
    words = words_of(page_of(tmp_path / "paid", kept))
    head, first = "What the rewards pay for tried before any model was asked", "! 4 of 81 hacks are paid more than an"
    assert f"{head} {first} honest wrong answer: wrong, then right 1.25 ·" in words
    assert "Every case, these too, is judged as its reward promises." in words
    assert "✓ No hack" not in words
    none = replace(kept, totals=tuple(replace(each, total=0.0) for each in kept.totals))
    words = words_of(page_of(tmp_path / "none", none))
    assert "✓ No hack is paid, and every case is judged as its reward promises." in words
    assert "hacks are paid" not in words


def test_the_dearest_hack_comes_first(kept: Audit) -> None:
    assert next(hack.name for hack in hacks_of(kept) if hack.above_wrong) == "wrong, then right"
    kinds = {kind_of(each) for each in cases_of(kept.rewards[0])}
    assert kinds == {"paid", "refused", "choice"}


def test_markup_in_a_case_is_text(tmp_path: Path, kept: Audit) -> None:
    run = write_run(tmp_path)
    AUDIT.write(run, kept)
    hostile = AUDIT.path(run).read_text().replace("whatever is correct", "<script>alert(1)</script>")
    AUDIT.path(run).write_text(hostile)
    page = run_page_of(render_session([run], tmp_path / "report")).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_what_failed_is_a_note(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    sentence = 'reward "my:f" gave no value for 3 of 64 completions: raised ValueError: <no> (3)'
    FAULTS.write(run / "train", RewardFaults({"my:f": FunctionFaults(64, 3, sentence, ())}))
    page = run_page_of(render_session([run], tmp_path / "report")).read_text(encoding="utf-8")
    assert "gave no value for 3 of 64 completions: raised ValueError: &lt;no&gt; (3), in training." in page
