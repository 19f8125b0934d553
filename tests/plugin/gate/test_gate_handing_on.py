"""The verdicts as Markdown: GitHub's job summary and a pull request's comment."""

from __future__ import annotations

import html
import json
import re
import time

import pytest

from harness.plugin.markdown import COMMENT_BYTES, SUMMARY_BYTES, write_markdown

HEAD = "### rl-harness\n\n| | run | before → after | gate | verdict |\n|---|---|---|---|---|\n"


@pytest.fixture(scope="module")
def handed_on(shared_made_up):
    project = shared_made_up
    for name in ("good", "bad"):
        project.recipe(name)
    project.recipe("weak", asked=5, gate="min_improvement = 0.05")
    project.policies["bad"] = "n % 4 == 0"
    project.write("step.md", "what another step wrote\n")
    options = ["-k", "improvement", "--rl-pr-comment=comment.md", "test_suite.py"]
    return project, project.pytest(*options, GITHUB_STEP_SUMMARY=str(project.path / "step.md")), options


def test_summary_is_appended_and_holds_every_verdict(handed_on):
    project, session, _ = handed_on
    assert session.ret == 1
    text = (project.path / "step.md").read_text()
    assert text.startswith("what another step wrote\n" + HEAD)
    rows = text.splitlines()[5:]
    assert [[cell.strip() for cell in row.split("|")[1:5]] for row in rows] == [
        ["⚠️", "weak, seed 0", "", ""],
        ["❌", "bad, seed 0", "50.0 % → 25.0 %", "improvement"],
        ["✅", "good, seed 0", "50.0 % → 100.0 %", "improvement"],
    ]
    assert " UNDERPOWERED: 5 questions cannot " in rows[0]
    assert "REGRESSED: 50.0 % -&gt; 25.0 %, 0 gained and 50 lost" in rows[1]


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


@pytest.mark.parametrize(("limit", "most"), [(SUMMARY_BYTES, 2**20), (COMMENT_BYTES, 65_536)])
def test_thousands_of_rows_stay_within_githubs_limit(tmp_path, limit, most):
    weak = [f"recipe-{n}, seed 0: ein Satz über {n} Fragen — zu wenige" for n in range(30_000)]
    started = time.process_time()  # other processes cost it nothing
    write_markdown(tmp_path / "all.md", [], weak, limit=limit)
    assert time.process_time() - started < 2
    text = (tmp_path / "all.md").read_text()
    assert limit - 500 < len(text.encode()) <= limit < most
    assert text.endswith("zu wenige |\n\nMore rows than fit here; the report has them all.\n")


def test_a_file_that_earlier_steps_filled_stays_within_the_limit(tmp_path):
    step = tmp_path / "step.md"
    for _ in range(5):
        weak = [f"recipe-{n}, seed 0: a sentence" for n in range(5_000)]
        write_markdown(step, [], weak, limit=SUMMARY_BYTES, append=True)
        assert step.stat().st_size <= SUMMARY_BYTES
    assert step.read_text().startswith(HEAD)


def test_what_fits_says_nothing_of_more(tmp_path):
    write_markdown(tmp_path / "new/one.md", [], ["one, seed 0: a sentence"], limit=COMMENT_BYTES)
    assert (tmp_path / "new/one.md").read_text() == HEAD + "| ⚠️ | one, seed 0 |  |  | UNDERPOWERED: a sentence |\n"


HOSTILE = (
    "a | b\nc\r<img src=x onerror=alert(1)> [link](http://evil) ![](http://evil/x.png) `code` ~~gone~~ **loud** "
    "www.evil.example @everyone \\| octo/repo#1 #12 GH-3 gh-4 1234567 "
    "0123456789abcdef0123456789abcdef01234567 me@evil.example \x1b[2K\u202e\x9b end"
)


def test_hostile_words_stay_in_their_cell(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "environment.json").write_text(json.dumps({"recipe": HOSTILE, "seed": 0}))
    verdict = {"gate": "baseline", "verdict": "INCOMPARABLE", "sentence": HOSTILE, "passed": False}
    (run / "verdicts.json").write_text(json.dumps({"verdicts": [verdict]}))
    write_markdown(tmp_path / "out.md", [run], [f"weak, seed 0: {HOSTILE}"], limit=COMMENT_BYTES)
    text = (tmp_path / "out.md").read_text()
    assert text.startswith(HEAD)
    rows = text.removeprefix(HEAD).splitlines()
    assert len(rows) == 2
    for row in rows:
        assert row.count("|") == 6
        assert not set("<>[]`~*\\\"'") & set(row)
        assert "end |" in row
        assert not re.search(r"https?://|www\.|@\w", row), "an address, or a name, that GitHub would link"
        assert row.isprintable()
        read = html.unescape(row)
        assert not re.search(r"#\d|gh-\d|[0-9a-f]{7}", read, re.IGNORECASE), "an issue, or a commit"
        assert "0123456789abcdef0123456789abcdef01234567" in read.replace("\u200b", ""), "as a person reads it"
