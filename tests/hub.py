"""A Hub on loopback that speaks the calls of ``huggingface_hub``, for processes whose ``HF_ENDPOINT`` is its address.

    with Hub() as hub:
        first = hub.commit("models/org/model", {"config.json": b"{}", "model.safetensors": weights})
        hub.requests                                 # [("GET", "/api/models/org/model/revision/main", 200), ...]
        hub.commit("models/org/model", {...})        # main moves on
        hub.faults["model.safetensors"] = [cut]      # what happens to the next request with these letters

Weights and tables are served as git-lfs files are: behind a redirect, known by their sha256.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import harness.models.tiny
from tests.inner_pytest import REPOSITORY, calm_environment

LARGE = (".safetensors", ".parquet", ".bin")
_PATH = re.compile(
    r"/(?:api/)?(?P<repository>(?:models/|datasets/)?[\w.-]+/[\w.-]+)"
    r"/(?P<call>revision|tree|resolve)/(?P<revision>[^/]+)(?:/(?P<file>.+))?"
)


@dataclass
class Repository:
    """``refs`` are branches and tags; ``token`` is the one that a gated repository's door opens to."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def find(self, revision: str) -> str | None:
        return self.refs.get(revision, revision if revision in self.commits else None)


class Answer:
    """What is answered to a request."""

    def __init__(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}


Fault = Callable[[Answer], Answer | None]


def answers(status: int, **headers: object) -> Fault:
    """A fault: this status in place of the answer."""
    return lambda answer: Answer(status, **headers)


def cut(answer: Answer) -> Answer:
    """The connection ends half way through what was announced."""
    return Answer(
        answer.status, answer.body[: len(answer.body) // 2], **{**answer.headers, "Content-Length": len(answer.body)}
    )


def bent(answer: Answer) -> Answer:
    """A byte is another than was announced."""
    return Answer(answer.status, answer.body[:-1] + bytes([answer.body[-1] ^ 1]), **answer.headers)


def shortened(answer: Answer) -> Answer:
    """The last bytes are missing, and the answer's own length says so."""
    return Answer(answer.status, answer.body[:-9], **answer.headers)


def hang_up(answer: Answer) -> None:
    """No answer at all."""


class Hub:
    """``faults`` are done one after the other to the answers whose path has their letters."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[tuple[str, str, int]] = []

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def commit(self, repository: str, files: dict[str, bytes], *refs: str) -> str:
        """A new commit, which ``main`` (or the branches and tags that are named) then stands for."""
        known = self.repositories.setdefault(repository, Repository())
        commit = hashlib.sha1(f"{repository} {len(known.commits)}".encode()).hexdigest()
        known.commits[commit] = dict(files)
        known.refs.update(dict.fromkeys(refs or ("main",), commit))
        return commit

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for since this was last called."""
        asked = [urlsplit(path) for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]
        self.requests.clear()
        return sorted(url.path.rpartition("/")[2] for url in asked)

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        match = _PATH.fullmatch(unquote(urlsplit(path).path))
        if match is None:
            return Answer(404)
        name = match["repository"]
        name = name if name.startswith(("models/", "datasets/")) else f"models/{name}"
        repository, given = self.repositories.get(name), headers.get("authorization", "").removeprefix("Bearer ")
        if repository is None:  # as the Hub, which says of no repository that it is not there
            return Answer(404, X_Error_Code="RepoNotFound") if given else Answer(401, X_Error_Code="RepoNotFound")
        if match["call"] == "resolve" and repository.token not in (None, given) and not path.endswith("?cdn"):
            return Answer(403 if given else 401, X_Error_Code="GatedRepo")
        commit = repository.find(match["revision"])
        if commit is None:
            return Answer(404, X_Error_Code="RevisionNotFound")
        files = repository.commits[commit]
        if match["call"] == "revision":
            listed = [{"rfilename": file} for file in files]
            return _json({"_id": "0", "id": name.partition("/")[2], "sha": commit, "siblings": listed, "tags": []})
        if match["call"] == "tree":
            return _json([_entry(file, content) for file, content in files.items()])
        if match["file"] not in files:
            return Answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        # Weights lie with somebody else, who knows no commits and gets no token.
        elsewhere = f"{self.url.replace('127.0.0.1', 'localhost')}{path}?cdn"
        return _file(match["file"], files[match["file"]], commit, headers, "" if path.endswith("?cdn") else elsewhere)


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), Content_Type="application/json")


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(file: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": file, "size": len(content), "oid": _oid(content)}
    if file.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _file(name: str, content: bytes, commit: str, headers: dict[str, str], elsewhere: str) -> Answer:
    large = name.endswith(LARGE)
    known = hashlib.sha256(content).hexdigest() if large else _oid(content)
    if large and elsewhere:
        linked = {"X_Linked_ETag": f'"{known}"', "X_Linked_Size": len(content), "X_Repo_Commit": commit}
        return Answer(302, Location=elsewhere, **linked)
    said = {"ETag": f'"{known}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
    if wanted := re.fullmatch(r"bytes=(\d+)-", headers.get("range", "")):
        start = int(wanted[1])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, content[start:], Content_Range=span, **said)
    return Answer(200, content, **said)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        answer: Answer | None = self.hub.answer(self.path, {name.lower(): text for name, text in self.headers.items()})
        for letters, faults in self.hub.faults.items():
            if letters in self.path and faults and answer is not None:
                answer = faults.pop(0)(answer)
        self.hub.requests.append((self.command, self.path, answer.status if answer else 0))
        self.close_connection = answer is None
        if answer is None:
            return
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body))}
        for name, text in {**length, **answer.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
            self.close_connection = int(answer.headers.get("Content-Length", 0)) > len(answer.body)

    do_GET = do_HEAD = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


TOKEN = "hf_opensesameopensesame"
SERVES = (".json", ".jinja", ".safetensors")
TINY = {
    file.name: file.read_bytes()
    for file in Path(harness.models.tiny.__file__).parent.iterdir()
    if file.suffix in SERVES
}
HAVES = """
import json, sys, time
pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.01))  # the client tries again, half a minute in all
from harness.models.source import fingerprint, resolve_model
from harness.recipe import TaskSection
from harness.store.errors import HarnessError
from harness.tasks import load_questions

def model(name, revision="main"):
    source = resolve_model(name, revision)
    return source.revision, fingerprint(source)

def questions(**task):
    found = load_questions(TaskSection(**task))
    return found.source, *([each.text for each in split] for split in (found.train, found.test))

for line in sys.stdin:
    given = json.loads(line)
    try:
        print(json.dumps(questions(**given) if isinstance(given, dict) else model(*given)), flush=True)
    except HarnessError as error:
        print(json.dumps(str(error)), flush=True)
"""

Ask = Callable[..., Any]


@contextmanager
def asking(home: Path, endpoint: str, **environment: str) -> Iterator[Ask]:
    """A process with a cache in ``home``: ``ask(name, revision)`` gives a model's commit and fingerprint,
    ``ask(**task)`` a dataset's commit and the texts of its questions, and either the sentence of a refusal."""
    given = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    given |= {"PYTHONPATH": str(REPOSITORY), **environment}
    with subprocess.Popen(
        [sys.executable, "-c", HAVES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=calm_environment() | given,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(*model: str, **task: Any) -> Any:
            process.stdin.write(json.dumps(task or model) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def log_in(home: Path, token: str = TOKEN) -> None:
    """As ``hf auth login`` does."""
    (home / "token").write_text(token)
