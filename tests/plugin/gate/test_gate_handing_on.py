"""The verdicts as Markdown: GitHub's job summary and a pull request's comment."""

from __future__ import annotations

import html
import re
import shutil
import time
from dataclasses import replace

import pytest

from harness.pipeline.lost import Lost
from harness.plugin import markdown
from harness.plugin.markdown import COMMENT_BYTES, NEVER_JUDGED, SUMMARY_BYTES, write_markdown
from harness.store.run_files import ENVIRONMENT
from harness.tasks import Question
from tests.run_files import environment, record, verdict

HEAD = "### rl-harness\n\n| | run | before → after | gate | verdict |\n|---|---|---|---|---|\n"


@pytest.fixture(scope="module")
def handed_on(shared_made_up):
    project = shared_made_up
    for name in ("good", "bad"):
        project.recipe(name)
    project.policies["bad"] = "n % 4 == 0"
    project.write("step.md", "what another step wrote\n")
    options = ["-k", "improvement", "--rl-pr-comment=comment.md", "test_suite.py"]
    return project, project.pytest(*options, GITHUB_STEP_SUMMARY=str(project.path / "step.md")), options


def test_summary_is_appended_and_holds_every_verdict(handed_on):
    project, session, _ = handed_on
    assert session.ret == 1
    text = (project.path / "step.md").read_text()
    assert text.startswith("what another step wrote\n" + HEAD)
    rows = text.splitlines()[5:7]
    assert [[cell.strip() for cell in row.split("|")[1:5]] for row in rows] == [
        ["❌", "bad", "50.0 % → 25.0 %", "improvement"],
        ["✅", "good", "50.0 % → 100.0 %", "improvement"],
    ]
    assert "REGRESSED: 50.0 % → 25.0 %, 0 gained and 50 lost" in rows[0]


def test_the_questions_that_were_lost_stand_below(handed_on):
    project, session, _ = handed_on
    _, found, lost = (project.path / "comment.md").read_text().partition("\n**bad: 50 questions lost against the ")
    assert found, session.text
    heading, _, _, _, *rows = lost.splitlines()
    assert heading == "base model, the worst 5**"
    assert len(rows) == 5
    for row in rows:
        _, question, truth, now, _ = (cell.strip() for cell in row.split("|"))
        assert question
        assert now == "-1" != truth
    assert "good: " not in lost


def test_comment_is_written_anew(handed_on):
    project, _, options = handed_on
    first = (project.path / "comment.md").read_text()
    assert first.startswith(HEAD)
    step = (project.path / "step.md").read_text()
    project.pytest(*options, GITHUB_STEP_SUMMARY=str(project.path / "step.md"))
    assert (project.path / "comment.md").read_text() == first
    assert (project.path / "step.md").read_text() == step + first


def test_a_place_that_cannot_be_written_is_a_line(handed_on):
    project, *_ = handed_on
    session = project.pytest("-k", "improvement and good", GITHUB_STEP_SUMMARY="/dev/null/step.md")
    assert session.ret == 0
    assert "no Markdown was written: " in session.text


def judged_run(folder, recipe, sentence, times=1):
    """A run with so many verdicts, as a session hands it on."""
    folder.mkdir(parents=True)
    ENVIRONMENT.write(folder, environment(recipe=recipe))
    return {folder: ([verdict("baseline", "INCOMPARABLE", sentence)] * times, False)}


@pytest.mark.parametrize(("limit", "most"), [(SUMMARY_BYTES, 2**20), (COMMENT_BYTES, 65_536)])
def test_thousands_of_rows_stay_within_githubs_limit(tmp_path, limit, most):
    run = judged_run(tmp_path / "run", "viele", "ein Satz über 30 Fragen — zu wenige", times=30_000)
    started = time.process_time()  # other processes cost it nothing
    write_markdown(tmp_path / "all.md", run, limit=limit)
    assert time.process_time() - started < 6  # about 1; where each row cost a look at all of them, minutes
    text = (tmp_path / "all.md").read_text()
    assert limit - 500 < len(text.encode()) <= limit < most
    assert text.endswith("zu wenige |\n\nMore rows than fit here; the report has them all.\n")


def test_a_file_that_earlier_steps_filled_stays_within_the_limit(tmp_path):
    step = tmp_path / "step.md"
    run = judged_run(tmp_path / "run", "many", "a sentence", times=5_000)
    for _ in range(5):
        write_markdown(step, run, limit=SUMMARY_BYTES, append=True)
        assert step.stat().st_size <= SUMMARY_BYTES
    assert step.read_text().startswith(HEAD)


def test_what_fits_says_nothing_of_more(tmp_path):
    run = judged_run(tmp_path / "run", "one", "a sentence")
    write_markdown(tmp_path / "new/one.md", run, limit=COMMENT_BYTES)
    row = "| ❌ | one |  | baseline | INCOMPARABLE: a sentence |\n"
    assert (tmp_path / "new/one.md").read_text() == HEAD + row


def test_a_training_that_failed_is_a_row(tmp_path):
    """With a verdict or without; where the signal check refused, its verdict has said so."""
    run = tmp_path / "run"
    (run / "train").mkdir(parents=True)
    (run / "train/error.txt").write_text("training died: out of memory. Last lines of log.txt:\nstep 3\n")
    write_markdown(tmp_path / "none.md", {run: ([], True)}, limit=COMMENT_BYTES)
    row = "| ❌ | run |  |  | training failed: training died: out of memory. |\n"
    assert (tmp_path / "none.md").read_text() == HEAD + row
    unsound = verdict("training", "UNSOUND", "no signal")
    write_markdown(tmp_path / "both.md", {run: ([unsound], True)}, limit=COMMENT_BYTES)
    assert (tmp_path / "both.md").read_text().endswith(row)
    (run / "train/error.txt").write_text("no signal\n")
    refused = verdict("training", "UNSOUND", "no signal", code="refused")
    write_markdown(tmp_path / "one.md", {run: ([refused], True)}, limit=COMMENT_BYTES)
    assert (tmp_path / "one.md").read_text() == HEAD + "| ❌ | run |  | training | UNSOUND: no signal |\n"


HOSTILE = (
    "a | b\nc\r<img src=x onerror=alert(1)> [link](http://evil) ![](http://evil/x.png) `code` ~~gone~~ **loud** "
    "www.evil.example @everyone \\| octo/repo#1 #12 GH-3 gh-4 1234567 "
    "0123456789abcdef0123456789abcdef01234567 me@evil.example \x1b[2K\u202e\x9b end"
)


def test_hostile_words_stay_in_their_cell(tmp_path):
    run = judged_run(tmp_path / "run", HOSTILE, HOSTILE)
    write_markdown(tmp_path / "out.md", run, f"NOT A PASS: {HOSTILE}", limit=COMMENT_BYTES)
    _, _, note, _, *table, row = (tmp_path / "out.md").read_text().splitlines()
    assert table == HEAD.splitlines()[2:]
    assert row.count("|") == 6
    assert "end |" in row
    for line in (note, row):
        assert not set("<>[]`~*\\\"'") & set(line)
        assert not re.search(r"https?://|www\.|@\w", line), "an address, or a name, that GitHub would link"
        assert line.isprintable()
        read = html.unescape(line)
        assert not re.search(r"#\d|gh-\d|[0-9a-f]{7}", read, re.IGNORECASE), "an issue, or a commit"
        assert "0123456789abcdef0123456789abcdef01234567" in read.replace("\u200b", ""), "as a person reads it"


def test_a_lost_question_is_held_to_its_cell_and_its_length(tmp_path, monkeypatch):
    asked = Question("one", HOSTILE, HOSTILE * 9, "test")
    lost = [Lost(asked, record(extracted=HOSTILE))] * 3
    monkeypatch.setattr(markdown, "lost_questions", lambda _: ("baseline", lost))
    run = judged_run(tmp_path / "run", "one", "a sentence")
    write_markdown(tmp_path / "out.md", run, limit=COMMENT_BYTES)
    text = (tmp_path / "out.md").read_text()
    assert "**one: 3 questions lost against the baseline**" in text
    for row in text.splitlines()[-3:]:
        assert row.count("|") == 4
        assert not set("<>[]`~*\\\"'") & set(row)
        assert row.isprintable()
    assert max(len(html.unescape(cell).replace("\u200b", "")) for cell in row.split("|")) < markdown.LONGEST + 9
    monkeypatch.setattr(markdown, "lost_questions", lambda _: ("baseline", lost * 1000))
    write_markdown(tmp_path / "cut.md", run, limit=len((tmp_path / "out.md").read_bytes()) - 9)
    assert "lost" not in (tmp_path / "cut.md").read_text(), "a table is whole, or not there"


def test_a_finding_excuses_nothing(tmp_path):
    ((directory, ((verdict,), failed)),) = judged_run(tmp_path / "run", "one", "rewards failed").items()
    found = replace(verdict, numbers={"finding": "most groups taught nothing"})
    write_markdown(tmp_path / "one.md", {directory: ([found], failed)}, limit=COMMENT_BYTES)
    assert (tmp_path / "one.md").read_text().startswith(HEAD + "| ❌ | one |")


def test_what_an_earlier_session_said_is_not_handed_on(made_up):
    """Its verdicts were about what lay there then: the terminal, JUnit and Markdown have this session's alone."""
    made_up.recipe("good")
    comment = "--rl-pr-comment=comment.md"
    assert made_up.pytest("-k", "improvement", comment).words("good").keys() == {"improvement"}
    session = made_up.pytest("-k", "training", comment)
    assert session.words("good").keys() == {"training"}
    assert ".improvement" not in (made_up.path / "junit.xml").read_text()
    assert [row.split("|")[4].strip() for row in (made_up.path / "comment.md").read_text().splitlines()[4:]] == [
        "training"
    ]
    run = made_up.run("good")
    shutil.rmtree(run / ".locks/after")
    (run / ".locks/after").write_text("a file in the folder's place")
    session = made_up.pytest("-k", "improvement", comment)
    assert session.ret == 1
    assert session.words("good") == {}
    assert "rl.good" in (made_up.path / "junit.xml").read_text()
    assert ".improvement" not in (made_up.path / "junit.xml").read_text()
    (row,) = (made_up.path / "comment.md").read_text().splitlines()[4:]
    assert row.startswith("| ❌ | good |")
    assert row.endswith(f"| {NEVER_JUDGED} |")


def test_a_training_that_taught_next_to_nothing_is_a_finding(made_up):
    """It was sound and passes, and is green nowhere."""
    made_up.recipe("vain", asked=20)
    made_up.recipe("well", asked=20)
    session = made_up.pytest("-k", "training", "--color=yes", "--rl-pr-comment=comment.md")
    assert session.ret == 0
    ok = re.findall(r"\x1b\[(\d+)m  OK +\x1b\[0mtraining: .*?([\d.]+ %) of groups had equal rewards(.*)", session.text)
    green, yellow = "32", "33"
    assert [(colour, share, "most groups taught nothing" in rest) for colour, share, rest in ok] == [
        (yellow, "93.8 %", True),
        (green, "50.0 %", False),
    ]
    marks = [row.split("|")[1:3] for row in (made_up.path / "comment.md").read_text().splitlines()[4:]]
    assert marks == [[" ⚠️ ", " vain "], [" ✅ ", " well "]]
