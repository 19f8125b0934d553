"""The endpoint engine against a server of ours that misbehaves."""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import replace

import pytest

from harness.models.engines.base import answer_seed
from harness.models.engines.chat_server import ChatServer
from harness.models.engines.endpoint import EndpointEngine
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe
from harness.rewards.grading import grade, summarise
from harness.store.errors import ModelError, TaskError, TrainingError
from harness.store.question import Question
from harness.store.records import SamplingParams
from tests.chat_double import CUT, HANG, Reply, answer, chat_double
from tests.models.engines.asking import DECODING, ask, some

pytestmark = pytest.mark.usefixtures("impatient")

SAMPLED = SamplingParams(max_new_tokens=32, temperature=0.7, top_p=0.9, samples_per_question=2, seed=3)


def test_every_setting_is_sent_and_an_answer_is_what_the_server_says():
    with chat_double(chat=lambda number, body: answer("So \\boxed{7}", "length", 40, 32)) as double:
        found = ask(double, some(3), SAMPLED, skip=[("t/2", 0), ("t/2", 1)])
        assert ask(double, some(1), skip=[("t/0", 0)]) == {}
    assert set(found) == {("t/0", 0), ("t/0", 1), ("t/1", 0), ("t/1", 1)}, "what is skipped is not asked"
    assert len(double.bodies) == 4
    body = next(each for each in double.bodies if each["seed"] == answer_seed(3, "t/1", 1))
    assert body == {
        "model": "served-model",
        "messages": [{"role": "user", "content": "What is 1?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": answer_seed(3, "t/1", 1),
        "max_tokens": 32,
    }
    assert len({each["seed"] for each in double.bodies}) == 4
    had = found["t/0", 1]
    assert (had.completion, had.finish_reason, had.error) == ("So \\boxed{7}", "length", None)
    assert (had.prompt_tokens, had.completion_tokens, had.prompt) == (40, 32, some(1)[0].prompt)


def later(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


# What the first requests get; a good answer comes after.
TROUBLE = {
    "too many requests": [Reply(429, {"error": {"message": "slow down"}})],
    "too many requests, with a time to wait": [Reply(429, {}, {"Retry-After": "0.2"})],
    "a date to wait for": [Reply(503, "", {"Retry-After": later(0)})],
    "a header that says nothing": [Reply(429, "", {"Retry-After": "soon"})],
    "server errors": [Reply(500, "oops"), Reply(502, "<html>bad gateway</html>"), Reply(503, {"detail": "loading"})],
    "cut connections": [CUT, CUT],
    "silence": [HANG],
    "no JSON": [Reply(200, "<html>hello</html>")],
    "torn JSON": [Reply(200, '{"choices": [')],
    "JSON of another kind": [Reply(200, [1, 2]), Reply(200, {"object": "error"}), Reply(200, {"choices": []})],
    "everything in turn": [Reply(500, ""), CUT, Reply(200, "?"), Reply(429, "")],
}


@pytest.mark.parametrize("replies", TROUBLE.values(), ids=TROUBLE)
def test_trouble_that_passes_costs_no_answer(replies):
    with chat_double(chat=lambda number, body: replies[number] if number < len(replies) else answer()) as double:
        found = ask(double, some(3))
    assert {each.completion for each in found.values()} == {r"\boxed{7}"}
    assert len(double.bodies) == 3 * (len(replies) + 1)


def test_the_server_says_how_long_to_wait():
    at = []

    def chat(number, body):
        at.append(time.monotonic())
        return Reply(429, "", {"Retry-After": "0.4"}) if number == 0 else answer()

    with chat_double(chat=chat) as double:
        ask(double, some(1))
    assert at[1] - at[0] >= 0.4


def about(n, reply, otherwise=answer):
    """This reply to question ``n``, and another to the others."""
    return lambda number, body: (reply if f" {n}?" in body["messages"][-1]["content"] else otherwise)()


LASTING = {  # what is always said, the reason that is given, and how often it is asked for
    "5xx": (Reply(503, {"error": {"message": "no GPU is free"}}), "HTTP 503: no GPU is free (asked 3 times)", 3),
    "refused": (Reply(400, {"error": {"message": "too long for me"}}), "HTTP 400: too long for me", 1),
    "detail": (Reply(422, {"detail": "Unexpected fields"}), "HTTP 422: Unexpected fields", 1),
    "cut": (CUT, "RemoteProtocolError", 3),
    "silent": (HANG, "ReadTimeout", 3),
    "no chat": (Reply(200, {"object": "list"}), "no chat completion in the answer", 3),
    "withheld": (answer("", "content_filter"), "finish_reason 'content_filter'", 1),
    "waits too long": (
        Reply(429, "", {"Retry-After": "86400"}),
        "HTTP 429; the server asks to come back in 86400 s",
        1,
    ),
}


@pytest.mark.parametrize(("reply", "reason", "times"), LASTING.values(), ids=LASTING)
def test_an_answer_that_cannot_be_had_says_why_and_the_others_are_had(reply, reason, times):
    with chat_double(chat=about(1, lambda: reply)) as double:
        found = ask(double, some(4), tries=3, timeout_seconds=0.3)
    lost = found["t/1", 0]
    assert (lost.finish_reason, lost.completion, lost.completion_tokens) == ("error", "", 0)
    assert reason in (lost.error or "")
    assert [key for key, each in found.items() if each.error] == [("t/1", 0)]
    assert sum("1?" in body["messages"][0]["content"] for body in double.bodies) == times


def test_none_at_all_is_an_error_with_address_and_reason():
    with chat_double(chat=lambda number, body: Reply(500, "out of memory")) as double:
        with pytest.raises(
            ModelError, match=r"served-model.*3 answers in a row could not be had.*500: out of memory"
        ) as no:
            ask(double, some(3), tries=2)
        assert double.url in str(no.value)
        # with earlier answers kept, it is these few that cannot be had
        lost = ask(double, some(3), tries=2, skip=[("t/0", 0)])
    assert [each.finish_reason for each in lost.values()] == ["error", "error"]


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_an_engine_that_does_not_open_leaves_no_connection(monkeypatch):
    closed = []
    monkeypatch.setattr(ChatServer, "close", lambda self: closed.append(self))
    with chat_double() as double:
        url = double.url
    with pytest.raises(ModelError, match="is it the address"):
        EndpointEngine(url, tries=1)
    assert len(closed) == 1


def test_a_server_that_goes_away_ends_the_evaluation_after_what_it_gave():
    had = []
    with chat_double(chat=lambda number, body: answer() if len(double.bodies) <= 10 else Reply(500, "gone")) as double:
        batches = EndpointEngine(double.url, tries=1, concurrency=2).answer(some(500), DECODING)
        with pytest.raises(ModelError, match=r"8 answers in a row.*500: gone.*10 answers before were had and are kept"):
            had.extend(each for batch in batches for each in batch)
        assert len(double.bodies) < 40
    assert len(had) == 10
    assert not any(each.error for each in had)


def test_a_server_that_refuses_some_is_not_gone():
    refusal = Reply(400, {"error": {"message": "too long"}})
    with chat_double(chat=lambda number, body: refusal) as double:
        lost = ask(double, some(40), concurrency=2, skip=[("t/0", 0)])
        assert [each.error for each in lost.values()] == ["HTTP 400: too long"] * 39
        del double.bodies[:]
        with pytest.raises(ModelError, match=r"in a row could not be had: HTTP 400: too long$"):
            ask(double, some(400), concurrency=2)
        assert len(double.bodies) < 20, "nothing was ever had: the others need not be tried"


NO_KEY = "OPENAI_API_KEY is not set"


@pytest.mark.parametrize(("status", "said"), [(401, NO_KEY), (403, NO_KEY), (404, "is the model's name as the server")])
def test_what_cannot_get_better_ends_at_once(status, said):
    with chat_double(chat=lambda number, body: Reply(status, {"error": {"message": "no"}})) as double:
        with pytest.raises(ModelError, match=f"HTTP {status}: no; .*{said}"):
            ask(double, some(50), concurrency=4)
        assert len(double.bodies) <= 8


def test_servers_that_want_max_completion_tokens_get_it():
    def chat(number, body):
        if "max_tokens" in body:
            return Reply(400, {"error": {"message": "Unsupported 'max_tokens'. Use 'max_completion_tokens' instead."}})
        return answer()

    with chat_double(chat=chat) as double:
        found = ask(double, some(5), concurrency=1)
    assert not any(each.error for each in found.values())
    assert sum("max_tokens" in body for body in double.bodies) == 1


def test_a_server_that_does_not_keep_to_the_length_is_refused():
    refused = pytest.raises(ModelError, match="gave 200 tokens where 32 at most were asked for")
    with chat_double(chat=lambda number, body: answer(tokens=200)) as double, refused:
        ask(double, some(1))
    refused = pytest.raises(ModelError, match="gave 33,001 characters where 32 tokens at most were asked for")
    with chat_double(chat=lambda number, body: answer("x", reasoning_content=33000 * "y")) as double, refused:
        ask(double, some(1))


PARTS = [{"type": "text", "text": "a"}, {"type": "image"}, {"text": None}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(("content", "completion"), [(None, ""), ("", ""), (PARTS, "ab"), ("  x ", "  x ")])
def test_content_may_have_other_shapes(content, completion):
    message = {"choices": [{"message": {"content": content}, "finish_reason": None}]}
    with chat_double(chat=lambda number, body: Reply(200, message)) as double:
        (found,) = ask(double, some(1)).values()
    assert (found.completion, found.finish_reason, found.completion_tokens) == (completion, "stop", 0)


def test_what_is_no_text_is_no_answer_and_what_is_no_number_counts_none():
    deep = json.loads("[" * 300 + "]" * 300)
    odd = [42, True, {"text": "7"}, [7], ["7", {"text": "7"}], float("nan"), deep]
    counts = [10**400, -1, 1.5, "7", None, float("inf"), float("nan"), [1]]

    def chat(number, body):
        at = int(re.findall(r"\d+", body["messages"][0]["content"])[0])
        if at < len(odd):
            return answer(odd[at])
        message = {"message": {"content": "7"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": counts[at - len(odd)], "completion_tokens": 3}
        return Reply(200, {"choices": [message], "usage": usage})

    with chat_double(chat=chat) as double:
        found = [each for _, each in sorted(ask(double, some(len(odd) + len(counts)), concurrency=1).items())]
    lost = [each.error for each in found if each.error]
    assert len(lost) == len(odd)
    assert all(error.startswith("content is no text: ") for error in lost)
    counted = [(each.prompt_tokens, each.completion_tokens) for each in found if not each.error]
    assert counted == [(0, 3)] * len(counts)


def test_halves_of_characters_are_sent_and_come_back_whole():
    """JSON may hold them; no file can."""
    text = "half \ud800?"
    asked = Question("t/\udfff", text, "7", "test", prompt=({"role": "user", "content": text},))
    with chat_double(chat=lambda number, body: answer("7 \ud83d", reasoning="\udcff")) as double:
        (found,) = ask(double, [asked]).values()
    assert double.bodies[0]["messages"][0]["content"] == text
    assert (found.completion, found.error) == ("<think>\ufffd</think>7 \ufffd", None)


@pytest.mark.parametrize("reason", [5, {"a": 1}, json.loads("[" * 300 + "]" * 300), "\x1b[2J", "x" * 500])
def test_a_finish_reason_may_be_of_any_kind(reason):
    with chat_double(chat=lambda number, body: answer("7", reason)) as double:
        (found,) = ask(double, some(2), skip=[("t/0", 0)]).values()
    assert (found.error or "").startswith("finish_reason ")
    assert len(found.error or "") < 60
    assert "\x1b" not in (found.error or "")


THOUGHTS = {
    "a thought and an answer": (
        answer(r"\boxed{7}", reasoning_content="3 + 4"),
        (r"<think>3 + 4</think>\boxed{7}", "stop", None),
    ),
    "under the other name": (answer(r"\boxed{7}", reasoning="3 + 4"), (r"<think>3 + 4</think>\boxed{7}", "stop", None)),
    "no thought": (answer(r"\boxed{7}", reasoning_content=None), (r"\boxed{7}", "stop", None)),
    "a setting, and no thought": (answer(r"\boxed{7}", reasoning={"effort": "low"}), (r"\boxed{7}", "stop", None)),
    "an empty thought": (answer(r"\boxed{7}", reasoning_content=""), (r"\boxed{7}", "stop", None)),
    "cut off in a thought": (
        answer(None, "length", tokens=32, reasoning_content="3 + 4 is"),
        ("<think>3 + 4 is", "length", None),
    ),
    "cut off in an answer": (
        answer("So", "length", tokens=32, reasoning_content="3 + 4"),
        ("<think>3 + 4</think>So", "length", None),
    ),
    "cut off, and the thought is kept from us": (answer(None, "length", tokens=32), ("", "length", None)),
    "nothing but a thought": (
        answer(None, reasoning_content=r"\boxed{7}"),
        (r"<think>\boxed{7}</think>", "error", "a thought and no answer"),
    ),
    "tokens without text": (answer(None), ("", "error", "tokens without any text")),
    "tokens without text, in parts": (answer([]), ("", "error", "tokens without any text")),
    "an end at once": (answer("", tokens=1), ("", "stop", None)),
}


@pytest.mark.parametrize(("reply", "expected"), THOUGHTS.values(), ids=THOUGHTS)
def test_a_thought_stands_before_the_answer_and_no_text_is_no_answer(reply, expected):
    completion, finish, error = expected
    with chat_double(chat=about(0, lambda: reply)) as double:
        found = ask(double, some(2))["t/0", 0]
    assert (found.completion, found.finish_reason) == (completion, finish)
    assert (found.error is None) is (error is None)
    assert (error or "") in (found.error or "")
    (record,) = grade([found], {"t/0": some(1)[0]}, {"boxed_numeric": 1.0})
    assert record.completion == completion
    assert (record.status == "unscored") is (error is not None)


def test_a_server_that_never_gives_text_is_named():
    with chat_double(chat=lambda number, body: answer(None)) as double:
        with pytest.raises(ModelError, match="could not be had: tokens without any text"):
            ask(double, some(400), concurrency=2)
        assert len(double.bodies) < 20


def test_answers_that_were_cut_off_before_they_began_are_counted():
    replies = [
        answer(None, "length", tokens=32, reasoning_content="3 +"),
        answer(None, "length", tokens=32),
        answer("So", "length", tokens=32),
        answer(),
    ]
    with chat_double(chat=lambda number, body: replies[int(body["messages"][0]["content"][8])]) as double:
        found = ask(double, some(4))
    records = grade(list(found.values()), {each.id: each for each in some(4)}, {"boxed_numeric": 1.0})
    summary = summarise(records, [each.id for each in some(4)], 1)
    assert summary.truncated == 3
    assert summary.unfinished is not None
    assert summary.unfinished.answers == 2
    assert summary.unfinished.sentence.startswith("2 of 4 answers were cut off in the middle of a thought, or without")
    whole = [each for each in records if each.question_id == "t/3"]
    assert summarise(whole, ["t/3"], 1).unfinished is None


def refusing(*keys, says="Unsupported parameter: {}"):
    def chat(number, body):
        found = [key for key in keys if key in body]
        return Reply(400, {"error": {"message": says.format(", ".join(found))}}) if found else answer()

    return chat


@pytest.mark.parametrize("keys", [["seed"], ["temperature"], ["top_p"], ["seed", "top_p"]])
def test_what_a_server_refuses_can_be_left_out_and_the_error_says_so(keys):
    written = ", ".join(f'"{key}"' for key in keys)
    with chat_double(chat=refusing(*keys)) as double:
        with pytest.raises(ModelError) as no:
            ask(double, some(40), SAMPLED, concurrency=2)
        assert sorted(re.findall(r'"(\w+)"', str(no.value).partition("write ")[2])) == sorted(keys)
        assert re.search(r"HTTP 400: Unsupported parameter.*write omit = \[.*\] under \[engine\]", str(no.value))
        assert len(double.bodies) <= 4
    with chat_double(chat=refusing(*keys)) as double:  # another one: a request of the first may come late
        assert not any(each.error for each in ask(double, some(3), SAMPLED, omit=keys).values())
        kept = {"model", "messages", "temperature", "top_p", "seed", "max_tokens"} - set(keys)
        assert {frozenset(body) for body in double.bodies} == {frozenset(kept)}, written


def test_a_refusal_that_only_repeats_the_request_is_not_taken_for_one_of_its_keys():
    """The server has taken such a request before, so it is this question that it will not answer."""

    def chat(number, body):
        long = "1?" in body["messages"][-1]["content"]
        said = f"too long, with its system prompt: {sorted(body)}"
        return Reply(400, {"error": {"message": said}}) if long else answer()

    with chat_double(chat=chat) as double:
        found = ask(double, with_system(3), concurrency=1)
    assert [key for key, each in found.items() if each.error] == [("t/1", 0)]
    assert {body["messages"][0]["role"] for body in double.bodies} == {"system"}, "it took that too"


TOLD = {"enable_thinking": False, "effort": "low"}


@pytest.mark.parametrize(
    ("key", "value", "decoding", "options", "said"),
    [
        ("top_k", 20, replace(SAMPLED, top_k=20), {}, r"set \[evaluate\] top_k = 0"),
        ("chat_template_kwargs", TOLD, DECODING, {"chat_template_kwargs": TOLD}, r"leave them out under \[model\]"),
    ],
)
def test_what_not_every_server_takes_is_sent_and_a_refusal_says_what_to_write(key, value, decoding, options, said):
    with chat_double() as double:
        ask(double, some(2), decoding, **options)
        assert all(body[key] == value for body in double.bodies)
        double.chat = refusing(key)
        with pytest.raises(ModelError, match=rf"does not take {key} .*{said}"):
            ask(double, some(1), decoding, **options)


def with_system(count):
    turn = {"role": "system", "content": "Be brief."}
    return [replace(each, prompt=(turn, *each.prompt)) for each in some(count)]


@pytest.mark.parametrize(
    "says",
    [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
    ],
)
def test_a_system_turn_that_is_refused_goes_into_the_users(says):
    def chat(number, body):
        refused = body["messages"][0]["role"] == "system"
        return Reply(400, {"error": {"message": says}}) if refused else answer()

    with chat_double(chat=chat) as double:
        found = ask(double, with_system(20), concurrency=4)
    assert not any(each.error for each in found.values())
    assert {each.prompt[0]["role"] for each in found.values()} == {"system"}, "the question's chat, as for a model here"
    asked = [body["messages"] for body in double.bodies if body["messages"][0]["role"] != "system"]
    assert sorted(each[0]["content"] for each in asked) == sorted(f"Be brief.\n\nWhat is {n}?" for n in range(20))
    assert {len(each) for each in asked} == {1}
    assert len(double.bodies) <= 20 + 4


@pytest.mark.parametrize(("batch_size", "most"), [("auto", 4), (2, 2), (1, 1)])
def test_so_many_are_asked_at_once(batch_size, most):
    def chat(number, body):
        time.sleep(0.05)
        return answer()

    with chat_double(chat=chat) as double:
        ask(double, some(12), replace(DECODING, batch_size=batch_size), concurrency=4)
    assert double.most_at_once == most


def test_answers_come_as_they_are_had_and_an_end_does_not_wait():
    with chat_double(chat=about(9, lambda: HANG)) as double:
        engine = EndpointEngine(double.url, concurrency=2, timeout_seconds=20.0)
        started = time.monotonic()
        batches = engine.answer(some(10), DECODING)
        first = next(batches)
        batches.close()
        engine.close()
        assert time.monotonic() - started < 10
    assert first


def test_a_question_without_a_prompt_is_refused():
    with chat_double() as double, pytest.raises(TaskError, match="'t/9' has no prompt"):
        ask(double, [Question("t/9", "", "7", "test")])


def test_seeds_are_31_bits_and_one_an_answer():
    seeds = {answer_seed(seed, f"q/{n}", sample) for seed in range(3) for n in range(50) for sample in range(4)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_without_pytest_what_is_served_is_not_trained_either(tmp_path):
    changes = {"model.endpoint": "http://localhost:9", "model.name": "served-model"}
    run = Run(find_recipe("tiny-arithmetic").override(changes), 0, Settings(runs_dir=tmp_path))
    for stage in (run.trained, run.after, run.verdicts):
        with pytest.raises(TrainingError, match="what http://localhost:9/v1 serves cannot be trained"):
            stage()
    with chat_double() as double:
        served = Run(find_recipe("tiny-arithmetic").override({**changes, "model.endpoint": double.url}), 0)
        with pytest.raises(ModelError, match="cannot be trained or loaded here"):
            served.policy()
    assert not list(tmp_path.iterdir())
