"""What a call gives back, on a run of four steps: verdicts or a look, tables, HTML, a page."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from markupsafe import Markup

import harness
from harness.rewards import cells
from harness.store.errors import HarnessError
from harness.store.html import html_table, shown
from harness.store.records import RECORDS, read_records
from tests.run_files import verdict

SMALL = {
    "model": "tiny",
    "task": {"name": "arithmetic", "train_questions": 24, "test_questions": 16},
    "train": {
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_steps": 2,
        "max_completion_length": 24,
    },
    "evaluate": {"max_new_tokens": 24},
}
pytestmark = pytest.mark.usefixtures("one_core")


def says_so(completions, ground_truth, **columns):
    return [1.0 if truth in each[0]["content"] else 0.0 for each, truth in zip(completions, ground_truth, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_FUNCTIONS", {})
        patch.chdir(folder := tmp_path_factory.mktemp("result"))
        yield folder


@pytest.fixture(scope="module")
def result(folder):
    def local(completions, **columns):  # lives in this process alone
        return says_so(completions, **columns)

    return harness.run(**SMALL, rewards={local: 1.0, "boxed_numeric": 0.5})


def test_a_run_whose_reward_is_of_a_cell_trains_here_and_is_judged(result):
    assert result.settings.in_process
    assert [verdict.gate for verdict in result.verdicts()] == ["improvement", "baseline", "training"]
    assert result.trained().summary.steps == 2
    assert not (result.directory / "train/log.txt").exists()  # no other process wrote one
    values = {value for each in result.trained().completions for value in each.rewards.values()}
    assert values == {0.0, 1.0}


def test_progress_was_told_while_this_process_trained(folder, capsys):
    harness.run(**SMALL, in_process=True, runs_dir="another")
    err = capsys.readouterr().err.splitlines()
    assert any(line.startswith("GRPO arithmetic-tiny: 2/2") for line in err)
    assert any(line.startswith("before arithmetic-tiny: 16/16 answers") for line in err)


def test_the_same_call_does_nothing_again(result):
    again = harness.run(**SMALL, rewards=dict(result.recipe.rewards))
    assert again.directory == result.directory
    assert again.reused == {"before": 16, "train": 2, "after": 16}
    assert "Reused 32 answers, 2 training steps." in again._repr_html_()


def test_a_frame_holds_both_sides(result):
    frame = result.frame()
    assert len(frame) == 16
    first = frame.iloc[0]
    question = result.questions.test[0]
    assert (first.question_id, first.question, first.ground_truth) == (
        question.id,
        question.text,
        question.ground_truth,
    )
    assert first.before == result.before().records[0].completion
    assert set(frame["change"]) <= {"gained", "lost", "right", "wrong"}
    means = result.before().means, result.after().means
    gained = [each for each in means[0] if means[1][each] > means[0][each]]
    assert list(frame[frame["change"] == "gained"].question_id) == gained
    assert result.after().frame()["question"].tolist() == [each.text for each in result.questions.test]


def test_html_says_what_the_verdicts_say(result):
    html = result._repr_html_()
    told = [each for each in result.verdicts() if each.gate != "baseline"]
    assert "NO_BASELINE" not in html
    for each in told:
        assert f"<b>{each.verdict}</b> {each.gate}: " in html
        assert each._repr_html_() in html
    assert f">{result.after().summary.mean_reward:.3f}</td>" in html
    assert f"{100 * result.after().accuracy:.1f} %" in html
    assert len(repr(result).splitlines()) == 1 + len(told)
    assert f"{100 * result.after().accuracy:.1f} %" in repr(result)


def forget(evaluation):
    evaluation.forget()
    evaluation.__dict__.pop("means", None)


def test_what_a_model_wrote_is_escaped(result, folder):
    """In an evaluation's table and in that of what was gained."""
    stage = result.directory / "after"
    kept = read_records(stage)
    hostile = "<script>alert(1)</script>\x1b[31m"
    changed = [replace(each, completion=hostile, status="correct") for each in kept]
    forget(result.after())
    try:
        RECORDS.write(stage, changed)
        for html in (result.after()._repr_html_(), result._repr_html_()):
            assert "<script>" not in html
            assert "\x1b" not in html
            assert "&lt;script&gt;alert(1)&lt;/script&gt;␛[31m" in html
    finally:
        RECORDS.write(stage, kept)
        forget(result.after())


def test_a_report_is_written_and_linked(result, monkeypatch):
    page = result.report()
    assert page.is_file()
    assert not hasattr(page, "_repr_html_")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    linked = result.report("other & page")
    assert 'href="other%20%26%20page/index.html"' in linked._repr_html_()
    assert result.id in (linked.parent / "index.html").read_text()


def test_a_look_is_no_gate(folder):
    look = harness.run(**SMALL, limit=5)
    assert [each.gate for each in look.verdicts()] == ["training"]
    assert look.verdict("improvement") is None
    kept = json.loads((look.directory / "verdicts.json").read_text())
    assert [each["gate"] for each in kept["verdicts"]] == ["training"]
    for shown_ in (repr(look), look._repr_html_()):
        assert "A look at 5 questions, which is no gate: leave out limit for a verdict." in shown_
        assert "improvement" not in shown_


def test_a_training_that_is_refused_is_a_result(folder):
    def nothing(completions, **columns):
        return [0.0] * len(completions)

    refused = harness.run(**SMALL, rewards=nothing)
    assert [(each.gate, each.verdict) for each in refused.judged.values()] == [("training", "UNSOUND")]
    assert "<b>UNSOUND</b> training: " in refused._repr_html_()
    with pytest.raises(HarnessError, match="nothing to hold side by side"):
        refused.frame()


ROWS = [
    {"question": f"Ben has {n} apples and finds 2 more. How many apples does Ben have now?", "answer": str(n + 2)}
    for n in range(1, 9)
]


def test_an_evaluation_asks_all_of_a_list(folder):
    made = harness.evaluate("tiny", ROWS, "format_boxed", evaluate={"max_new_tokens": 24})
    assert sorted(each.ground_truth for each in made.records) == sorted(row["answer"] for row in ROWS)
    assert made.summary.rewards.keys() == {"format_boxed"}
    assert repr(made).endswith("of 8 questions")
    assert len(harness.evaluate("tiny", ROWS, limit=3, evaluate={"max_new_tokens": 24}).means) == 3


def test_an_evaluation_of_what_was_trained(result):
    """It is the trained model that answers, and no more than asked for it."""
    made = harness.evaluate(result, SMALL["task"], evaluate=SMALL["evaluate"])
    answers = {each.question_id: each.completion for each in result.after().records}
    assert {each.question_id: each.completion for each in made.records} == answers


def test_an_evaluation_of_what_was_trained_loads_it_as_the_run_does(result, monkeypatch):
    told = {"dtype": "bfloat16", "chat_template_kwargs": {"enable_thinking": False}}
    own = result.recipe.override({f"model.{key}": value for key, value in told.items()})
    asked = []
    monkeypatch.setattr("harness.recipe.needs.check_needs", lambda recipe, **_: asked.append(recipe.model))
    monkeypatch.setattr("harness.pipeline.run.Run.before", lambda run: None)
    monkeypatch.setattr(result, "recipe", own)
    harness.evaluate(result, SMALL["task"])
    (model,) = asked
    assert model.name == str(result.trained().model.resolve())
    assert (model.dtype, model.chat_template_kwargs) == tuple(told.values())


def test_a_recipe_without_training_questions_trains_nothing(folder):
    with pytest.raises(HarnessError, match="train_questions = 0 leaves nothing to train on"):
        harness.run(**{**SMALL, "task": {**SMALL["task"], "train_questions": 0}})


def test_a_verdict_alone_and_in_a_list():
    made = verdict("accuracy", "TOO_LOW", "<b>so</b>")
    assert "✗ <b>TOO_LOW</b> accuracy: " in made._repr_html_()
    assert "&lt;b&gt;so&lt;/b&gt;" in made._repr_html_()
    printed: list[str] = []
    made._repr_pretty_(SimpleNamespace(text=printed.append), cycle=False)
    assert printed == ["TOO_LOW accuracy: <b>so</b>"]


def test_a_table_escapes_what_is_no_markup():
    table = html_table(("<i>",), [("<b>",), (Markup("<b>"),), (shown("a\n<u>"),)])
    assert isinstance(table, Markup)
    assert table.count("&lt;i&gt;") == table.count("&lt;b&gt;") == table.count("&lt;u&gt;") == 1
    assert table.count("<b>") == 1


def test_a_notebook_shows_an_error_as_the_words_alone():
    assert HarnessError("a sentence", "a line of a log")._render_traceback_() == ["a sentence", "a line of a log"]
