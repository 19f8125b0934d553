from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from harness.models import fingerprint, resolve_model
from harness.models.source import ModelSource
from harness.store.errors import ModelError

if TYPE_CHECKING:
    pass


@pytest.fixture
def folder(tmp_path):
    """What resolve_model and fingerprint look at, without a model in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {
        "config.json": {"model_type": "qwen2", "_name_or_path": "a", "transformers_version": "5.0"},
        "generation_config.json": {"eos_token_id": 2},
        "tokenizer.json": {"model": {}},
        "tokenizer_config.json": {"eos_token": "<|end|>", "name_or_path": "a"},
    }.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty Hub cache, offline."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def test_names_that_are_here(folder, monkeypatch):
    tiny = resolve_model("tiny")
    assert (tiny.name, tiny.kind, tiny.revision, tiny.path.is_dir()) == ("tiny", "embedded", None, True)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in (str(folder), "model", "./model", "model/", "~/model"):
        assert resolve_model(name) == ModelSource(name, "folder", folder, None)
    (folder / "m.GGUF").write_bytes(b"GGUF")
    source = resolve_model(str(folder / "m.GGUF"))
    assert source.kind == "gguf"
    assert {*fingerprint(source).values()} == {hashlib.sha256(b"GGUF").hexdigest()}, "the file decides everything"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *(
            (name, r"no such file or folder \(looked for /")
            for name in ("./nowhere", "../nowhere/at/all", "/no/where", "~/no/where", "runs/x/final", "m.gguf")
        ),
        ("org/m.gguf", "no such file or folder"),
        ("final/", "no such file or folder"),
        ("", "name is empty"),
        ("  ", "name is empty"),
        ("my model!", "not a Hub id; one looks like 'organisation/model'"),
        ("model/model.safetensors", r"is a file, but not a \.gguf; name the model's folder"),
    ],
)
def test_names_of_nothing(name, said, folder, hub, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ModelError, match=said):
        resolve_model(name)


NO_INDEX = r"index\.json: is not a list of \.safetensors files beside it; fetch the model again"


def index(*shards):
    return json.dumps({"weight_map": {f"layer.{n}": shard for n, shard in enumerate(shards)}})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is not a model folder, it has no config.json"),
        ({"x.gguf": "", "a.gguf": ""}, r"holds GGUF files; name one of them, such as .*/a\.gguf"),
        ({"adapter_config.json": "{}"}, r"has no adapter_model\.safetensors in"),
        ({"config.json": "{}"}, r"has no \.safetensors weights"),
        ({"config.json": "{}", "pytorch_model.bin": ""}, "only safetensors are loaded; convert them"),
        ({"config.json": "{}", "model.safetensors.index.json": index("a.safetensors")}, r"a\.safetensors is missing"),
        ({"config.json": "{}", "model.safetensors.index.json": "["}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": "[" * 100_000}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": index("../b/model.safetensors")}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": index("/etc/passwd")}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": index("pytorch_model.bin")}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": index(".safetensors\n")}, NO_INDEX),
        ({"config.json": "{}", "model.safetensors.index.json": index(5)}, NO_INDEX),
    ],
)
def test_a_folder_that_is_no_model(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        resolve_model(str(tmp_path))


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda folder: None, set()),
        (write("model.safetensors", "other weights"), {"weights"}),
        (write("chat_template.jinja", "{{ other }}"), {"chat_template"}),
        (write("tokenizer.json", "{}"), {"tokenizer"}),
        (write("tokenizer_config.json", '{"eos_token": "<|other|>"}'), {"tokenizer"}),
        (write("special_tokens_map.json", "{}"), {"tokenizer"}),
        (write("config.json", '{"model_type": "llama"}'), {"config"}),
        (write("generation_config.json", '{"eos_token_id": 3}'), {"config"}),
        (write("config.json", '{"model_type": "qwen2", "_name_or_path": "b", "transformers_version": "6"}'), set()),
        (write("config.json", '{"model_type": "qwen2", "use_cache": false}'), set()),
        (write("tokenizer_config.json", '{ "name_or_path": "b", "eos_token": "<|end|>"}'), set()),
        (write("generation_config.json", '{"eos_token_id": [2]}'), set()),
        (write("generation_config.json", '{"eos_token_id": [2, 3]}'), {"config"}),
        (write("README.md", "read"), set()),
        (write("training_args.bin", ""), set()),
    ],
)
def test_fingerprints_are_of_content(folder, tmp_path, change, changed):
    other = shutil.copytree(folder, tmp_path / "renamed")
    change(other)
    before, after = (fingerprint(resolve_model(str(path))) for path in (folder, other))
    assert set(before) == {"weights", "tokenizer", "chat_template", "config"}
    assert {key for key in before if before[key] != after[key]} == changed


def test_a_template_is_the_same_wherever_it_stands(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "old")
    (other / "chat_template.jinja").unlink()
    (other / "tokenizer_config.json").write_text('{"eos_token": "<|end|>", "chat_template": "{{ messages }}"}')
    assert fingerprint(resolve_model(str(folder))) == fingerprint(resolve_model(str(other)))


def test_shards_count_in_name_order(folder):
    (folder / "model.safetensors").unlink()
    (folder / "b.safetensors").write_bytes(b"2")
    (folder / "a.safetensors").write_bytes(b"1")
    (folder / "model.safetensors.index.json").write_text(index("b.safetensors", "a.safetensors", "b.safetensors"))
    source = resolve_model(str(folder))
    first = fingerprint(source)["weights"]
    (folder / "a.safetensors").write_bytes(b"2")
    (folder / "b.safetensors").write_bytes(b"1")
    assert fingerprint(source)["weights"] != first


def test_the_cache_saves_reading_and_notices_change(folder, tmp_path, monkeypatch):
    cache, source, reads = tmp_path / "cache" / "digests.json", resolve_model(str(folder)), []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: reads.append(file.name) or real(file, name))
    first = fingerprint(source, cache)
    assert fingerprint(source, cache) == first
    assert len(reads) == 1
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert fingerprint(source, cache) == first
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    assert fingerprint(source, cache)["weights"] != first["weights"]
    assert len(reads) == 3
    assert [path.name for path in cache.parent.iterdir()] == ["digests.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"%s": 3}', '{"%s": ["a"]}', '{"%s": [1, 2, 3, 4]}'])
def test_a_damaged_cache_is_made_anew(folder, tmp_path, content):
    cache, source = tmp_path / "digests.json", resolve_model(str(folder))
    cache.write_text(content.replace("%s", str(folder / "model.safetensors")))
    plain = fingerprint(source)
    assert fingerprint(source, cache) == plain
    assert len(json.loads(cache.read_text())) == 1
    assert fingerprint(source, cache / "not a folder" / "digests.json") == plain, "it costs only time"


def test_weights_that_went_away(folder):
    source = resolve_model(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no \.safetensors weights"):
        fingerprint(source)
    with pytest.raises(ModelError, match=r"m\.gguf: .* cannot be read: No such file"):
        fingerprint(ModelSource("m.gguf", "gguf", folder / "m.gguf"))


def test_neither_torch_nor_transformers_is_imported(folder):
    code = (
        "import sys, harness.models as p, harness.models.device as d\n"
        "p.fingerprint(p.resolve_model(sys.argv[1])); p.resolve_model('tiny'); d.choose_device(); d.release_memory()\n"
        "d.peak_memory('cpu')\n"
        "assert set(p.__all__) == set(p._MODULES)\n"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_name_is_there():
    import harness.models

    for name in harness.models.__all__:
        assert callable(getattr(harness.models, name))
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        harness.models.nonesuch  # noqa: B018


def adapter(folder, base):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (folder / "adapter_model.safetensors").touch()
    return folder


def test_an_adapter_whose_base_leads_back_to_it_is_refused(tmp_path, folder):
    own = adapter(tmp_path / "own", tmp_path / "own")
    one, two = adapter(tmp_path / "one", tmp_path / "two"), adapter(tmp_path / "two", tmp_path / "one")
    for name in (own, one, two):
        with pytest.raises(
            ModelError, match="an adapter whose base leads back to it; write the model that it was trained"
        ):
            resolve_model(str(name))
    (own / "base.json").write_text(json.dumps({"name": "nowhere", "beside": "."}))
    with pytest.raises(ModelError, match="an adapter whose base leads back to it"):
        resolve_model(str(own))
    upon = resolve_model(str(adapter(tmp_path / "upon", adapter(tmp_path / "first", folder))))
    assert (upon.base.kind, upon.base.base.kind) == ("adapter", "folder")


@pytest.mark.parametrize(
    "text", ["[]", "[" * 100_000, "9" * 6000, '{"base_model_name_or_path": ["a"]}', '{"a": "\\ud800"}']
)
def test_an_adapter_that_names_nothing_readable_is_refused(tmp_path, text):
    own = adapter(tmp_path / "own", "tiny")
    (own / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match="an adapter that names no model"):
        resolve_model(str(own))


@pytest.mark.parametrize(
    "name", ["a" * 5000, "./" + "a" * 5000, "a/" * 3000, "~nobody-here/x", "a\0b", "\ud800", "a\x1b[2J"]
)
def test_names_that_no_file_can_have(hub, name):
    with pytest.raises(ModelError) as no:
        resolve_model(name)
    str(no.value).encode()
    assert len(str(no.value)) < 1000
    assert "\x1b" not in str(no.value)


@pytest.mark.parametrize("revision", ["a" * 5000, "a\0b", "\ud800", "../../x"])
def test_revisions_that_nothing_can_have(hub, revision):
    with pytest.raises(ModelError):
        resolve_model("org/model", revision)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "9" * 6000, "\xff"])
def test_files_that_python_does_not_read_are_known_by_their_bytes(folder, name, text):
    (folder / "chat_template.jinja").unlink()
    (folder / name).write_bytes(text.encode("latin-1"))
    assert fingerprint(resolve_model(str(folder)))
