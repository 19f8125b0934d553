"""Repositories of a Hub (``HF_ENDPOINT``, else huggingface.co), as its client keeps them on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.store.errors import HarnessError
from harness.store.names import is_there

_INSTEAD = {
    "model": "give a local folder",
    "dataset": "give --rl-data a local file or folder of questions",
}


def snapshot(
    name: str,
    revision: str,
    error: type[HarnessError],
    *,
    kind: Literal["model", "dataset"],
    patterns: Sequence[str],
    skipped: Sequence[str] = (),
) -> Path:
    """The folder of a repository's files that match ``patterns``, named by the commit that ``revision`` stands for.

    What is not in the cache is fetched. Where the Hub cannot be asked, what the cache has of that revision is taken, if
    it is all there.

    Raises:
        error: no such repository or revision, it may not be read, or it cannot be fetched and is not in the cache.
    """
    from huggingface_hub import constants, get_token, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wanted: dict[str, Any] = {"allow_patterns": list(patterns), "ignore_patterns": list(skipped)}
    offline, hub = constants.HF_HUB_OFFLINE, constants.ENDPOINT
    page = f"{hub}/{name}" if kind == "model" else f"{hub}/datasets/{name}"
    fetch = partial(snapshot_download, name, revision=revision, repo_type=kind, **wanted)
    try:
        found = Path(fetch(local_files_only=offline))
        return found if not offline and _all_there(name, kind, found, wanted) else _whole(found)
    except HFValidationError:
        raise error(f"{name!r}: no such folder, and not a Hub id; one looks like 'organisation/{kind}'") from None
    except GatedRepoError:
        if get_token():
            do = f"the token here does not open it; accept its terms at {page}, or log in as somebody who has"
        else:
            do = f"accept its terms at {page} and log in"
        raise error(f"{name}: is gated: {do} with 'hf auth login'") from None
    except RepositoryNotFoundError:
        raise error(
            f"{name}: neither a folder here nor a {kind} on the Hub at {hub}; check its spelling, and if it is "
            "private, log in with 'hf auth login'"
        ) from None
    except RevisionNotFoundError:
        none = error(f"{name}: the Hub has no branch, tag or commit {revision!r} of it; write one that {page} has")
        none.key = ("model" if kind == "model" else "task"), "revision"
        raise none from None
    except Exception as failed:  # the network's, by httpx of two generations, the Hub's and the disk's
        if not offline:
            try:
                return _whole(Path(fetch(local_files_only=True)))
            except Exception:
                why = _reason(failed, hub)
        else:
            variable = "HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE"
            why = f"{variable} is set; unset it once"
        raise error(
            f"{name}: no folder of this name, not complete in the Hub cache at revision {revision!r}, and {why}, or "
            f"{_INSTEAD[kind]}"
        ) from None


def names_of(name: str, revision: str, *, kind: Literal["model", "dataset"]) -> list[str] | None:
    """The names of a repository's files; ``None`` where the Hub does not say them, for which :func:`snapshot` has the
    sentence."""
    from huggingface_hub import HfApi

    try:
        said = HfApi().repo_info(name, revision=revision, repo_type=kind)
    except Exception:  # as there
        return None
    files = getattr(said, "siblings", None)
    return None if files is None else [each.rfilename for each in files]


def announced(path: Path) -> str | None:
    """The sha256 that the Hub said a file of a snapshot has: its blob, which the file is a link to, is named by it. The
    client holds what arrives against its length alone."""
    if not path.is_symlink():
        return None
    blob = path.readlink()
    return blob.name if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name) else None


def damaged(name: str, path: Path) -> str:
    """What to say of a file that is not what was announced."""
    blob = os.path.normpath(path.parent / path.readlink())
    return f"{name}: {path.name} in the Hub cache is not what the Hub announced (sha256); rm {blob} and run again"


def _all_there(name: str, kind: Literal["model", "dataset"], folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether the Hub says that no file is missing; huggingface-hub 2 is believed unasked."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    names = None if _was_looked_at(folder) else names_of(name, folder.name, kind=kind)
    return names is not None and all(is_there(folder / each) for each in filter_repo_objects(names, **wanted))


def _whole(folder: Path) -> Path:
    """The folder, where nothing says that its files are not all there."""
    if not _was_looked_at(folder) and any(folder.parents[1].glob("blobs/*.incomplete")):
        raise FileNotFoundError(folder)
    return folder


def _was_looked_at(folder: Path) -> bool:
    """Whether the client has seen to it that all is there, as huggingface-hub 2 does; 1 gives what is kept where it
    cannot ask."""
    return (folder.parents[1] / "trees" / f"{folder.name}.json").is_file()


def _reason(failed: BaseException, hub: str) -> str:
    """Why something was not fetched, and what to do."""
    while failed.__cause__ is not None and isinstance(failed, FileNotFoundError):  # the client's "not in the cache"
        failed = failed.__cause__
    if (response := getattr(failed, "response", None)) is not None:
        refused = response.status_code in (401, 403)
        do = "check your token, or log in with 'hf auth login'" if refused else "try again later"
        return f"the Hub at {hub} answered {response.status_code} {response.reason_phrase}; {do}"
    said = next((line.strip() for line in str(failed).splitlines() if line.strip()), type(failed).__name__)
    if type(failed).__name__.startswith("Connect"):
        return f"the Hub at {hub} cannot be reached ({said}); connect once"
    return f"it cannot be fetched from the Hub at {hub} ({said}); try again"
