"""From a model's name to files on disk, and from the files to what they contain.

    source = resolve_model("Qwen/Qwen2.5-0.5B-Instruct", "main")
    source.path                     # .../snapshots/7ae557604adf67be50417f59c2c2f167def9a775
    fingerprint(source)["weights"]  # sha256, the same for the same bytes under any name

Nothing here needs torch or transformers: a run directory is named, and found again, without either.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.store.errors import ModelError
from harness.store.hub import announced, damaged, snapshot
from harness.store.names import as_file, is_there
from harness.store.run_directory import digest, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Everything that from_pretrained reads from the top of a model repository, and nothing that could run code.
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")
HUB_SKIPPED = ("*/*", "consolidated*")

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
)
CONFIG_FILES = ("config.json", "generation_config.json")
ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"

# Written by save_pretrained, but true of the writer rather than of the model. A trainer leaves use_cache = false.
_PROVENANCE = ("_name_or_path", "name_or_path", "transformers_version", "is_local", "local_files_only", "use_cache")
_ADAPTER_PROVENANCE = ("base_model_name_or_path", "revision", "peft_version")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model lies. ``path`` is a folder, or the file of a ``"gguf"``; ``revision`` is the commit that a Hub
    revision stands for, and ``None`` for everything that is not from the Hub. ``base`` is what an ``"adapter"`` (a
    folder of peft's) was trained on: a folder that the harness writes says so in ``base.json`` (name, revision,
    fingerprint), and another model found under that name is refused. An ``"endpoint"`` is served elsewhere; its
    ``path`` is the address and no file."""

    name: str
    kind: Literal["embedded", "folder", "gguf", "hub", "adapter", "endpoint"]
    path: Path
    revision: str | None = None
    base: ModelSource | None = None

    @property
    def commit(self) -> str | None:
        """What a person calls a model from the Hub, ``"organisation/model@commit"``."""
        return f"{self.name}@{self.revision}" if self.revision else None


def resolve_model(name: str, revision: str = "main", *, adapters: Sequence[Path] = ()) -> ModelSource:
    """Find a model, fetching it from the Hub if the name is a Hub id that is not in the local cache yet.

    ``name`` is ``"tiny"`` (the embedded model), a folder, a ``.gguf`` file, or a Hub id. Where a folder or Hub id holds
    an adapter of peft's, its base is found by the name that it gives. What exists on disk wins over a Hub id of the
    same spelling. ``revision`` is a branch, tag or commit, and means something for Hub ids only. ``adapters`` are the
    folders of those whose base this is.

    Raises:
        ModelError: nothing is there, it cannot be fetched, or it has no safetensors weights.
    """
    if name == "tiny":
        from harness.models.tiny import FOLDER

        return ModelSource(name, "embedded", _checked_folder(name, FOLDER))
    if not name.strip():
        raise ModelError("the model's name is empty; write 'tiny', a Hub id, a folder or a .gguf file")
    path = as_file(name)
    found = is_there(path)
    if found and path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelError(f"{name}: is a file, but not a .gguf; name the model's folder instead")
        return ModelSource(name, "gguf", path.resolve())
    if found and path.is_dir():
        if _is_adapter(path):
            return ModelSource(name, "adapter", path.resolve(), base=_base_of(name, path.resolve(), adapters))
        return ModelSource(name, "folder", _checked_folder(name, path.resolve()))
    if looks_like_path(name):
        raise ModelError(f"{name}: no such file or folder (looked for {path.absolute()})")
    folder = snapshot(name, revision, ModelError, kind="model", patterns=HUB_FILES, skipped=HUB_SKIPPED)
    if _is_adapter(folder):
        return ModelSource(name, "adapter", folder, folder.name, _base_of(name, folder, adapters))
    return ModelSource(name, "hub", _checked_folder(name, folder), revision=folder.name)


def fingerprint(source: ModelSource, cache: Path | None = None) -> dict[str, str]:
    """What decides a model's answers, as sha256 hex digests: ``weights``, ``tokenizer``, ``chat_template``, ``config``.

    Digests are of content alone: a copied or renamed folder has the same ones, and so has one that another version of
    transformers or a trainer wrote, since version, name, path and ``use_cache`` are left out. A GGUF file holds all
    four, so its digest stands for each. Large files are read once if ``cache`` names a JSON file to remember their
    digests in (by path, size, modification time and inode); a missing or damaged cache only costs time.

    Raises:
        ModelError: a file cannot be read or is not what the Hub announced, or weights are missing.
    """
    remembered = _DigestCache(cache)
    try:
        for path in source.path.iterdir() if source.revision is not None else ():  # from the Hub
            if (said := announced(path)) and remembered.digest(path) != said:
                raise ModelError(damaged(source.name, path))
        if source.base is not None:
            own = {}
            if (source.path / "tokenizer_config.json").is_file():
                own["tokenizer"] = _digest_files(source.path, TOKENIZER_FILES)
                own["chat_template"] = _digest(_chat_template(source.path))
            weights = remembered.digest(source.path / ADAPTER_WEIGHTS)
            return _adapter_fingerprint(source, fingerprint(source.base, cache), weights, own)
        if source.kind == "gguf":
            return dict.fromkeys(("weights", "tokenizer", "chat_template", "config"), remembered.digest(source.path))
        files = [remembered.digest(path) for path in _weight_files(_checked_folder(source.name, source.path))]
        return {
            "weights": _digest("\n".join(files)),
            "tokenizer": _digest_files(source.path, TOKENIZER_FILES),
            "chat_template": _digest(_chat_template(source.path)),
            "config": _digest_files(source.path, CONFIG_FILES),
        }
    except OSError as error:
        raise ModelError(f"{source.name}: {error.filename or source.path} cannot be read: {error.strerror}") from None
    finally:
        remembered.write()


def looks_like_path(name: str) -> bool:
    """Whether a name cannot be meant as a Hub id, whatever is on disk."""
    return (
        name.lower().endswith(".gguf")
        or name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or name.endswith("/")
        or "\\" in name
    )


def _is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter alone."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def _base_of(name: str, folder: Path, adapters: Sequence[Path]) -> ModelSource:
    """The model that an adapter folder belongs to."""
    place = folder / ADAPTER_CONFIG
    if folder in adapters:
        raise ModelError(
            f"{name}: an adapter whose base leads back to it; write the model that it was trained on as "
            f"base_model_name_or_path in {place}"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(f"{name}: has no {ADAPTER_WEIGHTS} in {folder}, and no other format is loaded")
    config, base = _table(place), _table(folder / BASE)
    beside = folder / str(base.get("beside") or "")
    if base.get("beside") and beside.exists():
        return resolve_model(str(beside.resolve()), adapters=[*adapters, folder])
    found = base.get("name") or config.get("base_model_name_or_path")
    if not isinstance(found, str):
        raise ModelError(f"{name}: an adapter that names no model; write it as base_model_name_or_path in {place}")
    revision = str(base.get("revision") or config.get("revision") or "main")
    return resolve_model(found, revision, adapters=[*adapters, folder])


def _table(path: Path) -> dict[str, Any]:
    """The object in a model's JSON file; empty where it is missing, or none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _adapter_fingerprint(
    source: ModelSource, base: dict[str, str], weights: str, own: dict[str, str]
) -> dict[str, str]:
    """The fingerprint of an adapter with ``weights`` on the model of fingerprint ``base``; ``own`` has the digests of
    the tokenizer and chat template in the adapter's folder, where it has them."""
    recorded = _table(source.path / BASE).get("fingerprint")
    if isinstance(recorded, dict) and recorded.get("weights") != base["weights"]:
        found = source.base.path if source.base else "its base"
        raise ModelError(f"{source.name}: was trained on other weights than those in {found}; put the old ones back")
    config = {
        key: value for key, value in _table(source.path / ADAPTER_CONFIG).items() if key not in _ADAPTER_PROVENANCE
    }
    return {
        "weights": digest([base["weights"], weights]),
        "tokenizer": own.get("tokenizer", base["tokenizer"]),
        "chat_template": own.get("chat_template", base["chat_template"]),
        "config": digest([base["config"], config]),
    }


def base_json(source: ModelSource, fingerprint: dict[str, str]) -> dict[str, Any]:
    """What an adapter's folder says of its base: a name that is found from anywhere, and what was found there."""
    name = source.name if source.kind in ("embedded", "hub") else str(source.path.resolve())
    return {"name": name, "revision": source.revision, "fingerprint": fingerprint}


def write_base(folder: Path, base: dict[str, Any]) -> None:
    """Put ``base.json`` into an adapter's folder, and the same name into peft's own configuration.

    A base that another run trained is also named as it lies from here: both are found where their folder was copied to.
    """
    folder = folder.resolve()
    beside = Path(base["name"]).is_relative_to(folder.parents[2])
    write_json(folder / BASE, {**base, **({"beside": os.path.relpath(base["name"], folder)} if beside else {})})
    config, named = folder / ADAPTER_CONFIG, {"base_model_name_or_path": base["name"], "revision": base["revision"]}
    write_json(config, {**json.loads(config.read_text(encoding="utf-8")), **named})


def _checked_folder(name: str, folder: Path) -> Path:
    """The folder itself if it holds a configuration and all its safetensors weights."""
    if not (folder / "config.json").is_file():
        if found := sorted(folder.glob("*.gguf")):
            raise ModelError(f"{name}: holds GGUF files; name one of them, such as {found[0]}")
        raise ModelError(f"{name}: is not a model folder, it has no config.json")
    weights = _weight_files(folder)
    if not weights:
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
            raise ModelError(
                f"{name}: has pickled weights and only safetensors are loaded; convert them where you trust them, "
                f"with AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
            )
        raise ModelError(f"{name}: has no .safetensors weights in {folder}, and no other format is loaded")
    if missing := [path.name for path in weights if not path.is_file()]:
        raise ModelError(f"{name}: is incomplete, {', '.join(missing[:3])} is missing from {folder}; fetch it again")
    return folder


def _weight_files(folder: Path) -> list[Path]:
    """The files that ``from_pretrained`` reads, in name order, whether or not they are there."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists() or not index.is_file():
        return [whole] if whole.exists() else []
    shards = _table(index).get("weight_map")
    names = shards.values() if isinstance(shards, dict) else [None]
    if not all(isinstance(name, str) and re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names):
        raise ModelError(f"{index}: is not a list of .safetensors files beside it; fetch the model again")
    return [folder / name for name in sorted(set(names))]


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _digest_files(folder: Path, names: Sequence[str]) -> str:
    return _digest("\n".join(_digest(content) for content in _contents(folder, names)))


def _contents(folder: Path, names: Sequence[str]) -> Iterable[bytes]:
    """Each existing file as its name and what it says; JSON without provenance, layout or chat template."""
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if name.endswith("config.json"):
            with contextlib.suppress(ValueError, RecursionError):
                table = json.loads(content)
                if isinstance(table, dict):
                    kept = {key: table[key] for key in table if key not in (*_PROVENANCE, "chat_template")}
                    match kept.get("eos_token_id"):
                        case [only]:  # trainers up to transformers 5.17 write a list
                            kept["eos_token_id"] = only
                    content = json.dumps(kept, sort_keys=True).encode()
        yield name.encode() + b"\0" + content


def _chat_template(folder: Path) -> str:
    """The template's text; several named ones as JSON; empty if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "chat_template.jinja").read_text(encoding="utf-8", errors="replace")
    template = _table(folder / "tokenizer_config.json").get("chat_template") or ""
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)


class _DigestCache:
    """sha256 of files, kept between processes as ``{path: [size, mtime_ns, inode, sha256]}`` in a JSON file."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.added = file, dict[str, list[Any]]()
        self.known = self._read()

    def digest(self, path: Path) -> str:
        path = path.resolve()
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        match self.added.get(str(path), self.known.get(str(path))):
            case [*remembered, str(digest)] if remembered == stamp:
                return digest
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.added[str(path)] = [*stamp, digest]
        return digest

    def write(self) -> None:
        """Merge what was added into the file. Two writers at once may lose an entry, never damage the file."""
        if self.file is not None and self.added:
            with contextlib.suppress(OSError):
                write_json(self.file, {**self._read(), **self.added})

    def _read(self) -> dict[str, Any]:
        return (read_json(self.file) if self.file else None) or {}
