from __future__ import annotations

import pytest

import harness.models
from harness.models import generate_responses, load_model_and_tokenizer
from harness.store.errors import ModelError
from harness.store.redact import safe_text

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def pair(original_folder):
    return load_model_and_tokenizer(str(original_folder))


def test_use_gpu_needs_one(original_folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ModelError, match="no GPU is visible"):
        load_model_and_tokenizer(str(original_folder), use_gpu=True)


def test_full_message_and_user_message_agree(pair):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = generate_responses(*pair, "Hello", "Be brief.", max_new_tokens=8)
    assert answer
    assert answer == generate_responses(*pair, full_message=chat, max_new_tokens=8)
    plain = generate_responses(*pair, full_message=chat[1:], max_new_tokens=8)
    assert plain == generate_responses(*pair, "Hello", max_new_tokens=8)
    assert answer != plain


@pytest.mark.parametrize("arguments", [{}, {"user_message": "Hi", "full_message": [{"role": "user", "content": "Hi"}]}])
def test_one_kind_of_message(pair, arguments):
    with pytest.raises(ValueError, match="either user_message or full_message"):
        generate_responses(*pair, **arguments)


def test_questions_are_printed_with_their_answers(pair, capsys):
    questions = ["Hello", "What is 3 plus 4?"]
    answers = harness.models.test_model_with_questions(*pair, questions, "Be brief.", title="Base")
    assert answers == [generate_responses(*pair, question, "Be brief.") for question in questions]
    printed = capsys.readouterr().out
    shown = [safe_text(answer) for answer in answers]
    parts = ["=== Base ===", "Model Input 1:\nHello", shown[0], "Model Input 2:\nWhat is 3 plus 4?", shown[1]]
    assert [printed.index(part) for part in parts] == sorted(printed.index(part) for part in parts)


def test_pytest_does_not_collect_the_helper(pytester):
    pytester.makepyfile("from harness.models import test_model_with_questions\ndef test_mine(): pass")
    result = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "--collect-only")
    result.stdout.fnmatch_lines(["*::test_mine", "*1 test collected*"])
    result.stdout.no_fnmatch_line("*test_model_with_questions*")
