"""``--rl-endpoint`` as a user meets it: evaluated, never trained; lost answers said and asked again; no key kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.store.run_directory import run_directories
from tests.chat_double import Reply, answer, chat_double, models

EVALUATION = (Path(__file__).parents[2] / "suites" / "test_evaluation.py").read_text()
KEY = "sk-entirely-secret-key"


def right(number, body):
    """Sums are what the recipe asks; a server that always says the same is wrong most of the time."""
    return answer(r"\boxed{7}")


@pytest.fixture
def served(project):
    project.write(test_evaluation=EVALUATION)
    return project


def runs(project) -> list[Path]:
    return sorted(run_directories(project.path / "rl-runs"))


def everything_written(project) -> str:
    kept = [path for path in project.path.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in kept)


def test_a_served_model_is_evaluated_under_its_own_name(served):
    with chat_double(chat=right, listing=lambda: models("org/served", root="/weights", created=5)) as double:
        result = served.pytest("--rl-endpoint", double.url, OPENAI_API_KEY=KEY)
        result.assert_outcomes(passed=1, skipped=1)
        (run,) = runs(served)
        again = served.pytest("--rl-endpoint", double.url, "--rl-model", "org/served", OPENAI_API_KEY=KEY)
        again.assert_outcomes(passed=1, skipped=1)
        assert set(double.keys) == {f"Bearer {KEY}"}
        asked = len(double.bodies)
    identity = json.loads((run / "identity.json").read_text())["generation"]
    assert identity["model"] == {"endpoint": double.url, "served": "org/served", "root": "/weights"}
    assert identity["engine"]["name"] == "endpoint"
    environment = json.loads((run / "environment.json").read_text())
    assert (environment["served_model"], environment["served_created"]) == ("org/served", 5)
    assert environment["device"] == "endpoint"
    assert "unknown" in environment["weights"]
    records = [json.loads(line) for line in (run / "before" / "records.jsonl").read_text().splitlines()]
    assert len(records) == 8
    assert {each["prompt_tokens"] for each in records} == {11}
    assert asked == 8, "and nothing again for the kept run"
    assert KEY not in everything_written(served)
    assert KEY not in result.stdout.str() + result.stderr.str()
    page = (served.path / "rl-report").glob("**/*.html")
    assert any("the server&#39;s word is all there is" in each.read_text() for each in page)


def test_a_recipe_may_name_the_server_and_a_threshold_judges_it(served):
    with chat_double(chat=right, listing=lambda: models("a", "b")) as double:
        named = served.small.replace('name = "tiny"', f'name = "b"\nendpoint = "{double.url}"')
        served.write(**{"suites/recipes/small.toml": f"{named}[engine]\nconcurrency = 3\n"})
        result = served.pytest("--rl-recipe", "small", "--rl-set", "gate.min_accuracy=0.9")
        result.assert_outcomes(passed=1, failed=1)
        assert {body["model"] for body in double.bodies} == {"b"}
        assert double.most_at_once <= 3
    result.stdout.fnmatch_lines(["*TOO_LOW small: *"])


def test_lost_answers_are_said_are_never_wrong_and_are_asked_again(served):
    lost = iter(range(2))
    broken: set[str] = set()

    def chat(number, body):
        text = body["messages"][-1]["content"]
        if text in broken or next(lost, None) is not None:
            broken.add(text)
            return Reply(400, {"error": {"message": "the prompt is not to my taste"}})
        return answer(r"\boxed{7}")

    with chat_double(chat=chat) as double:
        changes = ("--rl-set", "gate.min_accuracy=0.0")
        arguments = ("-rs", "--rl-endpoint", double.url, *changes)
        first = served.pytest(*arguments)
        first.assert_outcomes(failed=1, skipped=1)
        said = "2 of 8 answers could not be had: HTTP 400: the prompt is not to my taste (2)"
        first.stdout.fnmatch_lines([f"*AssertionError: {said}; they are unscored*"])
        first.stdout.fnmatch_lines([f"*! before: {said}; they are unscored, and the next run asks for them again"])
        first.stdout.fnmatch_lines(
            ["*INCONCLUSIVE small endpoint=127.0.0.1:*: 2 of 8 answers could not be had; of the others: *"]
        )
        (run,) = runs(served)
        summary = json.loads((run / "before" / "summary.json").read_text())
        assert summary["counts"]["unscored"] == 2
        assert summary["questions"] == 8
        pages = [each.read_text() for each in (served.path / "rl-report").glob("**/*.html")]
        assert any(said in page for page in pages)
        asked = len(double.bodies)
        assert asked == 8, "two tests of one session ask once"
        double.chat = right
        second = served.pytest(*arguments)
        second.assert_outcomes(passed=2)
        assert len(double.bodies) == asked + 2
    summary = json.loads((run / "before" / "summary.json").read_text())
    assert (summary["counts"]["unscored"], "unanswered" in summary) == (0, False)
    rows = [json.loads(line) for line in (run / "before" / "records.jsonl").read_text().splitlines()]
    assert len({row["question_id"] for row in rows}) == len(rows) == 8
    assert not any("error" in row for row in rows)


def test_a_dead_server_is_named(served):
    with chat_double() as double:
        url = double.url
    result = served.pytest("--rl-endpoint", url, "--rl-set", "engine.tries=1")
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*{url}: ConnectError*is it the address of an OpenAI-compatible server?*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("fixture", ["trained", "after", "verdicts"])
def test_what_is_served_is_not_trained(served, fixture):
    served.write(test_it=f"def test_it({fixture}):\n    assert {fixture}\n")
    result = served.pytest("--rl-endpoint", "http://localhost:9", "test_it.py")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*recipe small: what http://localhost:9/v1 serves cannot be trained or loaded here*"])
    result.stdout.fnmatch_lines(["*suites/test_evaluation.py*"])


def test_a_served_recipe_among_others_is_left_out_where_it_would_be_trained(served):
    other = served.small.replace('name = "tiny"', 'endpoint = "http://localhost:9"')
    served.write(**{"suites/recipes/other.toml": other, "test_it": "def test_it(policy):\n    assert policy\n"})
    result = served.pytest("test_it.py", "-v", torch=True)
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["not run: recipe other: what http://localhost:9/v1 serves cannot be trained*"])


def test_a_plan_asks_nobody(served):
    result = served.pytest("--rl-endpoint", "http://localhost:9", "--rl-plan")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*model: what is served at http://localhost:9/v1; task: arithmetic"])
    result.stdout.fnmatch_lines(["*nothing is trained*"])


def test_a_server_takes_the_place_of_a_recipes_engine(served):
    engine = '[engine]\nname = "vllm"\nmax_model_len = 64\n'
    served.write(**{"suites/recipes/small.toml": served.small + engine})
    with chat_double(chat=right) as double:
        options = ("--rl-endpoint", double.url, "--rl-set", "engine.concurrency=2")
        served.pytest(*options).assert_outcomes(passed=1, skipped=1)
        assert len(double.bodies) == 8
        assert double.most_at_once <= 2


def test_a_recipe_that_writes_for_a_server_needs_one(served):
    served.write(**{"suites/recipes/small.toml": served.small + "[engine]\nconcurrency = 2\n"})
    result = served.pytest()
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*small.toml:*engine] concurrency: unknown key of the transformers engine; it is for *"]
    )
    served.pytest("--rl-endpoint", "http://localhost:9", "--rl-plan").assert_outcomes()


def test_what_a_server_refuses_is_left_out_and_is_another_run(served):
    def chat(number, body):
        return Reply(400, {"error": {"message": "seed is not supported"}}) if "seed" in body else right(number, body)

    with chat_double(chat=chat) as double:
        first = served.pytest("--rl-endpoint", double.url)
        first.stdout.fnmatch_lines(['*HTTP 400: seed is not supported*write omit = ?"seed"? under ?engine?*'])
        first.stdout.no_fnmatch_line("*Traceback*")
        served.pytest("--rl-endpoint", double.url, "--rl-set", 'engine.omit=["seed"]').assert_outcomes(
            passed=1, skipped=1
        )
        omitted = [json.loads((run / "identity.json").read_text())["generation"]["engine"] for run in runs(served)]
    assert [each.get("omit") for each in sorted(omitted, key=lambda each: "omit" in each)] == [None, ["seed"]]


def test_thoughts_that_were_cut_off_and_answers_without_text_are_said(served):
    seen: list[str] = []

    def chat(number, body):
        text = body["messages"][-1]["content"]
        seen.extend([text] if text not in seen else [])
        place = seen.index(text)
        if place < 2:
            return answer(None, "length", tokens=24, reasoning_content="Let me")
        return answer(None) if place == 2 else right(number, body)

    with chat_double(chat=chat) as double:
        result = served.pytest("--rl-endpoint", double.url)
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*! before: 1 of 8 answers could not be had: tokens without any text*"])
    said = "2 of 8 answers were cut off in the middle of a thought"
    result.stdout.fnmatch_lines([f"*! before: {said}*"])
    pages = [each.read_text() for each in (served.path / "rl-report").glob("**/*.html")]
    assert any(said in page for page in pages)
    (run,) = runs(served)
    rows = [json.loads(line) for line in (run / "before" / "records.jsonl").read_text().splitlines()]
    assert sorted(row["completion"] for row in rows).count("<think>Let me") == 2
    assert [row["finish_reason"] for row in rows if row["status"] == "unscored"] == ["error"]
