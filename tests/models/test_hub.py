"""Models by their id, from a Hub on loopback: at which commit they are had, what is kept, and what is refused.

A process apart has the Hub's address by ``HF_ENDPOINT``, as a user's has, and is asked for one model after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import TINY, TOKEN, Ask, Fault, Hub, answers, asking, bent, cut, hang_up, log_in, shortened

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def hub(served: Hub, home: Path) -> Hub:
    """Without faults, and nobody logged in."""
    served.faults.clear()
    served.fetched()
    (home / "token").unlink(missing_ok=True)
    return served


@pytest.fixture(scope="module")
def ask(served: Hub, home: Path) -> Iterator[Ask]:
    with asking(home, served.url) as ask:
        yield ask


@pytest.fixture(scope="module")
def offline(served: Hub, home: Path) -> Iterator[Ask]:
    with asking(home, served.url, HF_HUB_OFFLINE="1") as ask:
        yield ask


@pytest.fixture(scope="module")
def gone(home: Path) -> Iterator[Ask]:
    """Nobody answers at the Hub's address."""
    with asking(home, "http://127.0.0.1:9") as ask:
        yield ask


def test_a_revision_is_pinned_to_its_commit(hub: Hub, ask: Ask) -> None:
    """Of the files of a repository those are fetched that are read, and none that could run code."""
    useless = ["modeling.py", "pytorch_model.bin", "onnx/model.safetensors", "consolidated.safetensors", "README.md"]
    first = hub.commit("models/org/pinned", TINY | dict.fromkeys(useless, b"..."), "main", "v1")
    found = ask("org/pinned")
    assert found[0] == first
    assert hub.fetched() == sorted(TINY)
    second = hub.commit("models/org/pinned", TINY | {WEIGHTS: TINY[WEIGHTS][:-1] + b"\0"})
    moved = ask("org/pinned")
    assert moved[0] == second
    assert hub.fetched() == [WEIGHTS]
    assert [key for key in moved[1] if moved[1][key] != found[1][key]] == ["weights"]
    assert ask("org/pinned", "v1") == ask("org/pinned", first) == found
    assert ask("org/pinned", second) == moved
    third = hub.commit("models/org/pinned", hub.repositories["models/org/pinned"].commits[second] | {"NEWS": b"none"})
    assert ask("org/pinned") == [third, moved[1]], "of the same content"
    assert hub.fetched() == []


def test_what_is_kept_needs_no_hub(hub: Hub, home: Path, ask: Ask, offline: Ask, gone: Ask) -> None:
    commit = hub.commit("models/org/kept", TINY, "main", "v1")
    found = ask("org/kept")
    hub.fetched()
    for each in (offline, gone, ask):
        assert each("org/kept") == each("org/kept", commit) == found
    hub.repositories["models/org/kept"].token = TOKEN
    assert ask("org/kept") == found
    for fault in (answers(401), answers(403), answers(429), answers(500), hang_up):
        hub.faults["/"] = [fault] * 99
        assert ask("org/kept") == found
    assert hub.fetched() == []
    assert "'v1', and HF_HUB_OFFLINE is set; unset it once, or give a local folder" in offline("org/kept", "v1")


SAYS = "{name}: no folder of this name, not complete in the Hub cache at revision 'main', and {why}, or "
SAYS += "give a local folder"
ANSWERED = "the Hub at {hub} answered "
FAILED = "it cannot be fetched from the Hub at {hub} "
REFUSED: dict[str, tuple[str, list[Fault], str]] = {  # what happens to which requests, and what is said of it
    "500": ("/api/", [answers(500)], f"{ANSWERED}500 Internal Server Error; try again later"),
    "503": ("/resolve/", [answers(503)] * 99, f"{ANSWERED}503 Service Unavailable; try again later"),
    "429": ("/tree/", [answers(429, Retry_After=1)] * 9, f"{ANSWERED}429 Too Many Requests; try again later"),
    "404": ("config.json", [answers(404, X_Error_Code="EntryNotFound")], f"{ANSWERED}404 Not Found; try again later"),
    "401": (
        "/api/",
        [answers(401, X_Error_Message="Invalid credentials in Authorization header")],
        f"{ANSWERED}401 Unauthorized; check your token, or log in with 'hf auth login'",
    ),
    "silent": ("/api/", [hang_up], f"{FAILED}(Server disconnected without sending a response.); try again"),
    "cut": ("?cdn", [cut] * 99, f"{FAILED}(peer closed connection ...); try again"),
    "short": ("?cdn", [shortened], f"{FAILED}(Consistency check failed: file should be of size ...); try again"),
}


def fits(said: Any, expected: str) -> bool:
    """Whether a sentence is the expected one; ``...`` in that stands for more of the client's words."""
    pattern = ".*".join(map(re.escape, expected.split("...")))
    return isinstance(said, str) and re.fullmatch(pattern, said) is not None


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_fetched_is_one_sentence(case: str, hub: Hub, ask: Ask, offline: Ask) -> None:
    """What arrived of it is not taken for the model then or later, and once the Hub is well the rest is fetched."""
    letters, faults, why = REFUSED[case]
    name = f"org/of-{case}"
    commit = hub.commit(f"models/{name}", TINY)
    hub.faults[letters] = list(faults)
    said = ask(name)
    assert fits(said, SAYS.format(name=name, why=why.format(hub=hub.url))), said
    assert offline(name) == SAYS.format(name=name, why="HF_HUB_OFFLINE is set; unset it once")
    hub.faults.clear()
    found = ask(name)
    assert found[0] == commit
    assert found == offline(name)


NONE = "neither a folder here nor a model on the Hub at {hub}; check its spelling, and if it is private, log in with "


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("org/none", "main", f"{NONE}'hf auth login'"),
        ("org/there", "v9", "the Hub has no branch, tag or commit 'v9' of it; write one that {hub}/org/there has"),
        ("org/there", "0" * 40, f"the Hub has no branch, tag or commit '{'0' * 40}' of it; write one that ..."),
    ],
)
def test_what_the_hub_does_not_have(name: str, revision: str, said: str, hub: Hub, home: Path, ask: Ask) -> None:
    hub.commit("models/org/there", TINY)
    for login in (False, True):
        if login:
            log_in(home)
        found = ask(name, revision)
        assert fits(found, f"{name}: {said.format(hub=hub.url)}"), found


def test_nobody_answers_and_nothing_is_kept(gone: Ask) -> None:
    why = "the Hub at http://127.0.0.1:9 cannot be reached ([Errno 111] Connection refused); connect once"
    assert gone("org/it") == SAYS.format(name="org/it", why=why)


def test_a_gated_repository(hub: Hub, home: Path, ask: Ask) -> None:
    commit = hub.commit("models/org/gated", TINY)
    hub.repositories["models/org/gated"].token = TOKEN
    page = f"{hub.url}/org/gated"
    assert ask("org/gated") == (f"org/gated: is gated: accept its terms at {page} and log in with 'hf auth login'")
    log_in(home, "hf_somebodyelsesomebodyelse")
    assert ask("org/gated") == (
        f"org/gated: is gated: the token here does not open it; accept its terms at {page}, or log in as somebody who "
        "has with 'hf auth login'"
    )
    log_in(home)
    assert ask("org/gated")[0] == commit


def test_a_file_that_is_cut_off_once_is_fetched_to_its_end(hub: Hub, ask: Ask) -> None:
    hub.commit("models/org/half", TINY)
    whole = ask("org/half")
    hub.commit("models/org/half-way", TINY)
    hub.faults["?cdn"] = [cut]
    hub.requests.clear()
    assert ask("org/half-way")[1] == whole[1]
    assert hub.fetched().count(WEIGHTS) == 2


def test_a_file_that_is_not_what_was_announced_is_not_believed(hub: Hub, ask: Ask, offline: Ask) -> None:
    """The client looks at its length alone."""
    hub.commit("models/org/bent", TINY)
    hub.faults["?cdn"] = [bent]
    said = ask("org/bent")
    assert said == offline("org/bent")
    told = re.fullmatch(
        r"org/bent: model\.safetensors in the Hub cache is not what the Hub announced \(sha256\); "
        r"rm (/.*/blobs/[0-9a-f]{64}) and run again",
        said,
    )
    assert told, said
    Path(told[1]).unlink()
    found = ask("org/bent")
    assert found == offline("org/bent")
    hub.commit("models/org/straight", TINY)
    assert found[1] == ask("org/straight")[1]
