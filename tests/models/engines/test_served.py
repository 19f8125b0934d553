"""A real server, ``transformers serve`` with the embedded model on a CPU: the endpoint gives the local answers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from harness.models import load_policy
from harness.models.engines.endpoint import EndpointEngine
from harness.models.engines.local import TransformersEngine
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import ModelError
from harness.store.records import SamplingParams
from harness.tasks import load_questions

MISSING = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}: pip install -e '.[dev]'"),
]
DECODING = SamplingParams(max_new_tokens=48)
# The embedded model's own, with a word to leave thoughts out.
TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""


@pytest.fixture(scope="module")
def tiny():
    return load_policy("tiny", device="cpu")


@pytest.fixture(scope="module")
def server(tiny, tmp_path_factory):
    """Address and the served model's name, which is its folder."""
    folder = tmp_path_factory.mktemp("served") / "tiny"
    tiny.save(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shutil.which("transformers", path=str(Path(sys.executable).parent)) or "transformers"
    log = folder.parent / "log.txt"
    with log.open("w") as out:
        arguments = ["serve", str(folder), "--device", "cpu", "--dtype", "float32", "--port", str(port)]
        process = subprocess.Popen(
            [command, *arguments], stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/health", timeout=5).read()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        else:
            pytest.fail(f"transformers serve did not start:\n{log.read_text()}")
        yield f"http://localhost:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def some():
    return load_questions(find_recipe("tiny-arithmetic").task).test[:24]


def answers(engine, questions, decoding=DECODING):
    return {(a.question_id, a.sample): a for batch in engine.answer(questions, decoding) for a in batch}


def test_answers_are_the_local_ones(server, tiny, some):
    """Text, finish reason and token counts."""
    served = answers(EndpointEngine(*server), some)
    assert served == answers(TransformersEngine(tiny), some)
    assert len({each.completion for each in served.values()}) > 12
    found = answers(EndpointEngine(*server), some[:4], SamplingParams(max_new_tokens=3))
    assert {(each.finish_reason, each.completion_tokens) for each in found.values()} == {("length", 3)}
    with pytest.raises(ModelError, match=r"HTTP 400: Server is pinned to"):
        answers(EndpointEngine(server[0], "another"), some[:2])


def test_what_the_chat_template_is_told_reaches_it(server, some):
    url, folder = server
    told, few = {"enable_thinking": False}, some[:6]
    local = TransformersEngine(load_policy(folder, device="cpu", chat_template_kwargs=told))
    served = answers(EndpointEngine(url, folder, chat_template_kwargs=told), few)
    assert served == answers(local, few), "text, finish reason and token counts"
    plain = answers(EndpointEngine(url, folder), few)
    (longer,) = {served[key].prompt_tokens - plain[key].prompt_tokens for key in served}
    assert longer > 0, "as many tokens more as the template writes"


def test_a_whole_evaluation_is_the_local_one(server, tmp_path):
    changes = {"task.test_questions": 16, "task.train_questions": 8, "evaluate.max_new_tokens": 48}
    recipe = find_recipe("tiny-arithmetic").override(changes)
    settings = Settings(runs_dir=tmp_path, device="cpu")
    url, name = server
    served = Run(recipe.override({"model.endpoint": url, "model.name": name}), 0, settings).before()
    local = Run(recipe, 0, settings).before()
    assert [each.to_json() for each in served.records] == [each.to_json() for each in local.records]
    assert served.accuracy == local.accuracy
    assert served.summary.device == "endpoint"
