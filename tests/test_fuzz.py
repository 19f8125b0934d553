"""Texts that nobody here wrote: records, recipes, questions, a server's replies, and completions in front of every
grader. Whatever they say, nothing is raised but the project's own error, and none takes a second.

The examples are few in the usual run, and 20,000 a parser under the marker ``slow``.
"""

# ruff: noqa: SIM905 (a list of forty quoted marks reads worse)
from __future__ import annotations

import functools
import json
import os
import string
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models.engines.base import server_url
from harness.models.engines.chat_server import ChatServer, Unanswered
from harness.models.engines.endpoint import _generation, _TooMany
from harness.models.source import fingerprint, resolve_model
from harness.recipe.catalog import Recipe, load_recipe, parse_changes
from harness.rewards import SHIPPED, resolve_reward
from harness.rewards.functions import tags_exact
from harness.rewards.score import score_all
from harness.store.errors import HarnessError
from harness.store.question import Question
from harness.store.records import RECORDS, SUMMARY, SamplingParams
from harness.store.redact import safe_line
from harness.tasks import TaskSection, load_questions
from harness.tasks.gsm8k import to_question

SECONDS = 1.0  # of this process: other processes may hold it up

# What has gone wrong once stands beside what Hypothesis thinks of.
ODD_WORDS = r"""\ " ' 9^{9} nan inf 1e999 true null __proto__ ٣ 😀""".split()
ODD_TEXTS = st.sampled_from(
    [
        *("", " ", "\x00", "\x1b[31m", "\u202e", "\ud800", "\udfff", "\ufb01", "\uff11", "\U0001d7dc", "\r\n"),
        *("9" * 6000, "a" * 5000, "[" * 2000, "{" * 2000, "(" * 500, *ODD_WORDS),
    ]
)
LETTERS = st.text(st.characters(), max_size=30) | ODD_TEXTS  # surrogates too
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**30), 2**63, 2**53, float("nan"), float("inf")])
LEAVES = st.none() | st.booleans() | NUMBERS | LETTERS


def trees(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Plain values of JSON, with these keys among others."""
    return st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | LETTERS, inner, max_size=5),
        max_leaves=12,
    )


def changed(rows: list[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """One of these objects with some values replaced, left out or added at any depth."""

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    known = st.sampled_from(sorted({key for row in rows for key in keys(row)}))
    values = trees(known)

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        row = json.loads(json.dumps(draw(st.sampled_from(rows))))
        for _ in range(draw(st.integers(0, 3))):
            place = row
            while True:
                if isinstance(place, dict) and place:
                    key: Any = draw(st.sampled_from(sorted(place)) | known)
                elif isinstance(place, list) and place:
                    key = draw(st.integers(0, len(place) - 1))
                else:
                    break
                inner = place.get(key) if isinstance(place, dict) else place[key]
                if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                    place = inner
                    continue
                if isinstance(place, dict) and draw(st.booleans()):
                    place.pop(key, None)
                else:
                    place[key] = draw(values)
                break
        return row

    return build() | values


def torn(text: str) -> st.SearchStrategy[str]:
    """A text with a piece cut out and another put there."""
    places = st.integers(0, len(text))
    pieces = LETTERS | st.sampled_from(["[" * 2000, '{"a":' * 2000, "9" * 6000, "1e999", "NaN", "-Infinity", "\\ud800"])
    return st.builds(lambda a, b, piece: text[: min(a, b)] + piece + text[max(a, b) :], places, places, pieces)


def fuzzed(strategy: st.SearchStrategy[Any], *more: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """The test on a few examples, and under ``slow`` on 20,000."""

    def decorate(check: Callable[..., None]) -> Any:
        @pytest.mark.parametrize("examples", [60, pytest.param(20_000, marks=pytest.mark.slow)], ids=["some", "many"])
        def test(examples: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
            folder = tmp_path_factory.mktemp("fuzz")

            @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(st.tuples(strategy, *more))
            def run(values: Any) -> None:
                started = time.thread_time()
                check(folder, *values)
                assert time.thread_time() - started < SECONDS

            run()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


def allowed(call: Callable[[], object], *errors: type[Exception]) -> None:
    """Run it; what it may raise is the project's own error, whose text can be written anywhere."""
    try:
        call()
    except (HarnessError, *errors) as error:
        told = str(error)
    else:
        return
    told.encode()
    assert len(told) < 3000


# Records and summaries

RECORD = {
    "question_id": "t/0", "sample": 0, "seed": 0, "prompt": [{"role": "user", "content": "2 + 2?"}],
    "completion": "\\boxed{4}", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 5,
    "ground_truth": "4", "extracted": "4", "status": "correct", "reward": 1.0, "rewards": {"boxed_numeric": 1.0},
    "grades": {"boxed_exact": {"extracted": "4", "correct": True}},
}  # fmt: skip


@fuzzed(changed([RECORD]).map(json.dumps) | torn(json.dumps(RECORD)))
def test_records(folder: Path, text: str) -> None:
    line = text.replace("\n", " ").encode("utf-8", "surrogatepass") + b"\n"
    allowed(lambda: RECORDS.parse(folder, 1, line))


@fuzzed(changed([{"questions": 1, "accuracy": 0.5, "interval": [0.1, 0.9], "counts": {"correct": 1}}]).map(json.dumps))
def test_summaries(folder: Path, text: str) -> None:
    SUMMARY.path(folder).write_text(text, encoding="utf-8", errors="surrogatepass")
    allowed(lambda: SUMMARY.read(folder))


# Recipes

RECIPE = """description = "one"
seeds = [0, 1]

[model]
name = "tiny"
chat_template_kwargs = { enable_thinking = false }

[task]
name = "questions.jsonl"
train_questions = 20
test_questions = 10
fields = { question = "q" }

[rewards]
boxed_numeric = 1.0
length_penalty = { weight = 0.2, max_tokens = 400, soft_tokens = 100 }

[train]
method = "grpo"
num_generations = 4
per_device_train_batch_size = 8
learning_rate = 1e-6

[evaluate]
temperature = 0.5
max_new_tokens = 64

[engine]
concurrency = 3

[gate]
min_accuracy = 0.5

[health]
stop_on = ["truncation"]
truncation = 0.5

[launch]
nproc_per_node = 1
"""
PLAIN_VALUES = "nan inf -inf true '' 'x' -1 0 1e999 2026-01-01 [1,2] {a=1} [[]] ['a',1] '~nobody/x' 'm:f'".split()
TOML_VALUES = st.sampled_from(
    [
        *("9" * 6000, "[" * 3000, "{a=" * 3000, "[" * 200 + "]" * 200, '"\\u0000"', f"'{'n' * 5000}'", str(2**64)),
        *("0x" + "f" * 6000, "'http://a..b/v1'", *PLAIN_VALUES),
    ]
)
PLAIN_KEYS = "name endpoint from_recipe revision system_prompt few_shot margin every_steps train source".split()
TOML_KEYS = st.sampled_from([*PLAIN_KEYS, "k" * 5000, '"my.module:f"', '"a b"', "timeout_seconds", "command", "signal"])
LINES = RECIPE.splitlines()


@st.composite
def recipes(draw: st.DrawFn) -> str:
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[place].partition(" = ")
        value = draw(TOML_VALUES | LEAVES.map(lambda leaf: json.dumps(leaf)))
        match draw(st.sampled_from(["value", "key", "drop", "line"])):
            case "value" if equals:
                lines[place] = f"{key} = {value}"
            case "key":
                lines[place] = f"{draw(TOML_KEYS)} = {value}"
            case "drop":
                lines[place] = ""
            case _:
                lines.insert(place, draw(st.just(f"{draw(TOML_KEYS)} = {value}") | LETTERS))
    return "\n".join(lines)


@fuzzed(recipes() | torn(RECIPE))
def test_recipes(folder: Path, text: str) -> None:
    path = folder / "fuzzed.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    allowed(lambda: load_recipe(path))


CHANGED_KEYS = st.sampled_from("model.name task.name train.learning_rate gate.margin seeds rewards.x:y a.b.c".split())


@functools.cache
def right(folder: Path) -> Recipe:
    path = folder / "right.toml"
    path.write_text(RECIPE)
    return load_recipe(path)


@fuzzed(CHANGED_KEYS | LETTERS, TOML_VALUES | LETTERS)
def test_changes_of_a_recipe(folder: Path, key: str, value: str) -> None:
    recipe = right(folder)
    given = os.fsdecode(f"{key}={value}".encode("utf-8", "surrogatepass"))  # as the command line hands it over
    allowed(lambda: recipe.override(parse_changes([given])))


# Questions

ROW = {"question": "What is 2 + 2?", "answer": "2 + 2 = 4\n#### 4", "solution": "\\boxed{4}", "id": "a"}


@fuzzed(st.lists(changed([ROW]).map(json.dumps) | torn(json.dumps(ROW)), min_size=1, max_size=3), st.booleans())
def test_questions(folder: Path, lines: list[str], boxed: bool) -> None:
    path = folder / "questions.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    allowed(lambda: loaded(path, {"answer": "final"} if boxed else {}))


def loaded(path: Path, fields: dict[str, str]) -> None:
    task = TaskSection(name=str(path), train_questions=0, test_questions=1, fields=fields)
    for question in load_questions(task, columns=None).test:
        f"{question.id}{question.text}{question.ground_truth}{question.solution}{question.columns}".encode()


@fuzzed(st.lists(LETTERS | st.sampled_from(["a,b", '"a', 'a""b', ","]), max_size=6))
def test_questions_of_csv(folder: Path, fields: list[str]) -> None:
    path = folder / "questions.csv"
    path.write_bytes("\n".join(["question,answer", *fields]).encode("utf-8", "surrogatepass"))
    allowed(lambda: loaded(path, {}))


@fuzzed(changed([ROW]))
def test_rows_of_gsm8k(folder: Path, row: Any) -> None:
    if isinstance(row, dict):
        allowed(lambda: to_question(row, "test", 0))


# Replies of a server

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "4", "reasoning": "2"}, "finish_reason": "stop"}
ANSWER = {"choices": [CHOICE], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
LISTING = {
    "data": [{"id": "a", "root": "b", "owned_by": "c", "created": 17, "max_model_len": 512, "meta": {"n_ctx_train": 4}}]
}
REFUSAL = {"error": {"message": "no", "code": 5}, "detail": [{"msg": "no"}]}
HEADERS = st.sampled_from(["Retry-After", "Location", "Content-Type", "Content-Encoding", "X-Other"])
HEADER_VALUES = st.sampled_from(
    [
        *("nan", "inf", "-1", "1e999", "Mon, 01 Jan 0001 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 -2359", "gzip"),
        *("br", "\x1b[31m", "ÿ" * 30, "text/html; charset=\x80", "http://" + "a" * 70 + "/", "0", ""),
    ]
)
QUESTION = Question("t/0", "2 + 2?", "4", "test", prompt=({"role": "user", "content": "2 + 2?"},))
DECODING = SamplingParams(max_new_tokens=32)


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    reply: tuple[int, dict[str, str], bytes] = (200, {}, b"")

    def do_GET(self) -> None:
        if (length := int(self.headers.get("Content-Length") or 0)) > 0:
            self.rfile.read(length)
        status, headers, body = self.reply
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[str]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    found.daemon_threads = True
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    ADDRESS[:] = [f"http://127.0.0.1:{found.server_address[1]}/v1"]
    yield ADDRESS[0]
    client_of(ADDRESS[0]).close()
    found.shutdown()
    found.server_close()
    thread.join()


ADDRESS: list[str] = []


@functools.cache
def client_of(address: str) -> ChatServer:
    return ChatServer(address, tries=1, timeout_seconds=20.0)


@fuzzed(
    changed([ANSWER, LISTING, REFUSAL]).map(json.dumps) | torn(json.dumps(ANSWER)) | torn(json.dumps(LISTING)),
    st.sampled_from([200, 200, 200, 201, 204, 302, 400, 404, 422, 429, 500]),
    st.dictionaries(HEADERS, HEADER_VALUES, max_size=2),
)
def test_replies(folder: Path, text: str, status: int, headers: dict[str, str]) -> None:
    """As a listing, as an answer and as a refusal, over the wire."""
    body = b"" if status == 204 else text.encode("utf-8", "surrogatepass")
    _Server.reply = status, headers, body
    client = client_of(ADDRESS[0])

    def answer() -> None:
        found = client.complete({"model": "a\ud800", "messages": [dict(turn) for turn in QUESTION.prompt]})
        generation, _ = _generation(found, QUESTION, 0, DECODING)
        f"{generation.completion}{generation.error}".encode()

    allowed(lambda: client.served().model.encode())
    allowed(answer, Unanswered, _TooMany)


@fuzzed(
    st.text(st.characters(), max_size=40).map(lambda text: f"http://{text}") | LETTERS,
    st.text(string.printable, max_size=20),
)
def test_addresses(folder: Path, start: str, end: str) -> None:
    for address in (start, start + end, f"https://{end}"):
        try:
            found = server_url(address)
        except ValueError as error:
            str(error).encode()
        else:
            assert server_url(found) == found
            assert found.isascii()
            assert httpx2.URL(f"{found}/models").host


# Models

CONFIG = {"base_model_name_or_path": "tiny", "revision": "main", "peft_type": "LORA"}
INDEX = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "../other.safetensors"}}


@fuzzed(changed([CONFIG, INDEX]).map(json.dumps) | torn(json.dumps(CONFIG)), st.booleans())
def test_files_of_a_model(folder: Path, text: str, adapter: bool) -> None:
    given = text.encode("utf-8", "surrogatepass")
    model = folder / ("adapter" if adapter else "model")
    model.mkdir(exist_ok=True)
    if adapter:
        names = ("adapter_config.json", "base.json")
        (model / "adapter_model.safetensors").touch()
    else:
        names = ("config.json", "model.safetensors.index.json", "tokenizer_config.json")
        (model / "model-1.safetensors").touch()
    for name in names:
        (model / name).write_bytes(given)
    allowed(lambda: fingerprint(resolve_model(str(model))))


# Completions

MARKS = r"""
    \boxed{ } { \frac \sqrt \text{ <think> </think> <answer> </answer> $ ^ _ 42 4.2 1/2 1,200 x n + - = \times \cdot \pi
    \infty ( ) [ ] | \begin{pmatrix} \end{pmatrix} & \\ ! % , ; \in \cup \pm ° \overline{3} \left( \right) cm \mathrm{e}
    ** 10^{400} 9^{9^{9}} ² ½ ٣ ΔΩ \binom \log_ \sin e^{i\pi}
""".split()
LONG = ["9" * 700, "(" * 300, "{" * 5000, r"\boxed{" * 300]
PIECES = st.sampled_from([*MARKS, *LONG, " and ", " or ", "\n", " ", "\ud800"])
COMPLETIONS = st.lists(PIECES | LETTERS, max_size=14).map("".join)
BOXED = st.lists(PIECES | LETTERS, max_size=10).map(lambda parts: r"\boxed{" + "".join(parts) + "}")
TAGGED = COMPLETIONS.map(lambda text: f"<think>a</think><answer>{text}</answer>")
TRUTHS = st.sampled_from(["42", "1/2", r"\frac{1}{2}", "x^2+1", "Paris", "5 cm", "(1, 2)", r"x \le 5", ""]) | LETTERS


def graders() -> dict[str, Any]:
    found = {name: resolve_reward(name) for name in SHIPPED}
    return {"tags_exact": tags_exact, **{name: each for name, each in found.items() if hasattr(each, "grade")}}


def grading(name: str) -> Any:
    grader = graders()[name]

    @fuzzed(COMPLETIONS | BOXED | TAGGED, TRUTHS)
    def check(folder: Path, completion: str, truth: str) -> None:
        if name == "json_schema":
            pytest.importorskip("jsonschema")
        grade = grader.grade(completion, truth)
        assert grade.correct in (True, False, None)
        assert grader(["?"], [completion], ground_truth=[truth]) == [grade.reward]
        if grade.extracted is None:
            assert not grade.correct
        safe_line(str(grade.extracted), 80).encode()

    check.__name__ = f"test_completions_by_{name}"
    return check


test_completions_by_boxed_numeric = grading("boxed_numeric")
test_completions_by_boxed_exact = grading("boxed_exact")
test_completions_by_math_equivalent = grading("math_equivalent")
test_completions_by_answer_in_tags = grading("answer_in_tags")
test_completions_by_tags_exact = grading("tags_exact")
test_completions_by_choice = grading("choice")
test_completions_by_exact = grading("exact")
test_completions_by_f1 = grading("f1")
test_completions_by_regex = grading("regex")
test_completions_by_json_schema = grading("json_schema")


def test_no_grader_is_left_out() -> None:
    assert {name for name in graders() if f"test_completions_by_{name}" not in globals()} == set()


REWARDS = dict.fromkeys(("boxed_numeric", "format_boxed", "format_tags", "repetition_penalty"), 1.0)


@fuzzed(COMPLETIONS | BOXED | TAGGED, TRUTHS)
def test_completions_by_a_recipes_rewards(folder: Path, completion: str, truth: str) -> None:
    columns = {"ground_truth": [truth], "completion_tokens": [3]}
    (scored,) = score_all(["?"], [[{"role": "assistant", "content": completion}]], columns, REWARDS)
    assert set(scored.rewards) == set(REWARDS)
    assert scored.reward is not None
