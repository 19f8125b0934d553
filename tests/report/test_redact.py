"""Secrets are gone, whatever stands around them; ordinary text stays as it is."""

from __future__ import annotations

import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.store.redact import clean_line, safe_line, safe_text, visible
from harness.store.secrets import HIDDEN, hide_values, redact, redact_command, redact_tree, secret_values
from tests.secrets_and_escapes import ESCAPES, INVISIBLE, SECRETS, TOKENS, VARIABLES

UNAMBIGUOUS = ("Hugging Face", "GitHub personal", "GitHub fine-grained", "AWS key id", "JSON web token")
"""Found even where a letter stands before them."""


@pytest.mark.parametrize("issuer", TOKENS)
def test_tokens_are_known_by_their_looks(issuer: str) -> None:
    token = TOKENS[issuer]
    assert redact(token) == HIDDEN
    assert redact(f"401 for {token}, stop") == f"401 for {HIDDEN}, stop"
    assert redact(f"https://example.org/{token}/x") == f"https://example.org/{HIDDEN}/x"


apart = st.text(st.characters(codec="utf-8", exclude_categories=("Lu", "Ll", "Nd")))


@given(st.sampled_from(sorted(TOKENS)), st.text(), apart, st.text())
def test_a_token_is_gone_whatever_surrounds_it(issuer: str, before: str, between: str, after: str) -> None:
    token = TOKENS[issuer]
    assert token not in redact(f"{before} {between}{token}{after}")


@given(st.sampled_from(UNAMBIGUOUS), st.text(), st.text())
def test_a_long_token_is_gone_even_in_a_word(issuer: str, before: str, after: str) -> None:
    assert TOKENS[issuer] not in redact(before + TOKENS[issuer] + after)


@given(st.sampled_from(["HF_TOKEN=", "password: ", "--api-key ", "x://u:"]), st.text(), st.text())
def test_redacting_twice_is_redacting_once(telling: str, before: str, after: str) -> None:
    once = redact(before + telling + after)
    assert redact(once) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HF_TOKEN=opensesame pytest", "HF_TOKEN=[redacted] pytest"),
        ('export WANDB_API_KEY="open sesame"', "export WANDB_API_KEY=[redacted]"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi= x", "AWS_SECRET_ACCESS_KEY=[redacted] x"),
        ("PGPASSWORD='a b' psql", "PGPASSWORD=[redacted] psql"),
        ("DB_PASS=opensesame, x", "DB_PASS=[redacted], x"),
        ("GITHUB_PAT=opensesame", "GITHUB_PAT=[redacted]"),
        ("HF_TOKEN_2=opensesame", "HF_TOKEN_2=[redacted]"),
        ("pytest --rl-set 'train.hub_token=a b' -x", "pytest --rl-set 'train.hub_token=[redacted]' -x"),
        ("{'hub_token': 'opensesame', 'n': 1}", "{'hub_token': [redacted], 'n': 1}"),
        ('{"api_key": "opensesame"}', '{"api_key": [redacted]}'),
        ("client_secret: opensesame", "client_secret: [redacted]"),
        ("token=opensesame&x=1", "token=[redacted]&x=1"),
        ("Your token: opensesame", "Your token: [redacted]"),
        ("--api-key opensesame --lr 1", "--api-key [redacted] --lr 1"),
        ("--password 'open sesame' --lr 1", "--password [redacted] --lr 1"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [redacted]"),
        ("https://user:pass@host/path", "https://[redacted]@host/path"),
        ("https://user:p@ss@host/path", "https://[redacted]@host/path"),
        ("https://opensesame@host/path", "https://[redacted]@host/path"),
        ("hooks.slack.com/services/T0/B0/abc end", "hooks.slack.com/services/[redacted] end"),
        ("s3://b/k?X-Amz-Signature=abc&x=1", "s3://b/k?X-Amz-Signature=[redacted]&x=1"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- x", "[redacted] x"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"),
        ("-----BEGIN PRIVATE KEY-----\nabc (and more)", "[redacted](and more)"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----", "[redacted]"),
        ("a word\nAb3dEf6hIj9kLm2nOp5q\nabc=\n-----END PRIVATE KEY----- x", "a word\n[redacted] x"),
        ("[0]: -----BEGIN PRIVATE KEY-----\n[0]: abc\n[0]: -----END PRIVATE KEY-----", "[0]: [redacted]"),
        ("password=a,b;c&d, x", "password=[redacted], x"),
        ("a_token=ab,b_token=cd", "a_token=[redacted],b_token=[redacted]"),
        (r"{\"api_key\": \"open sesame\"}", r"{\"api_key\": [redacted]}"),
        ("Authorization: Token opensesame", "Authorization: Token [redacted]"),
        ("Cookie: session=opensesame", "Cookie: [redacted]"),
        ("postgres://me:open/sesame@host", "postgres://[redacted]@host"),
        (r"a line\nsk-Ab3dEf6hIj9kLm2nOp5q", r"a line\n[redacted]"),
        ("\x1b[31msk-Ab3dEf6hIj9kLm2nOp5q", "\x1b[31m[redacted]"),
    ],
)
def test_secrets_are_known_by_their_names(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "pad_token = eos",
        "pad_token = '<pad>', eos_token: </s>",
        "max_new_tokens=512",
        "max_new_tokens = 512\nmax_completion_length = 48",
        "pip install sk-learn scikit-learn",
        "sk-learn-compatible-estimators-for-everyone",
        "task-0123456789abcdef",
        "HF_HUB_ENABLE_HF_TRANSFER=1 hf_transfer hf_hub_download",
        "npm_config_user_agent",
        "pypi-attestation-models",
        "TOKENIZERS_PARALLELISM=false",
        "Unexpected token: }",
        "seconds per token: 0.53312345",
        "tokens/s: 93, completion_tokens: 48",
        "the password is not asked for",
        "key = value, sort_key=name",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "git+ssh://git@github.com/org/repo",
        "https://medium.com/@someone/post",
        "http://localhost:8000/path/user@host",
        "token = 15, and each cookie: 2 dollars",
        "no -----END CERTIFICATE-----",
        "Qwen/Qwen2.5-0.5B-Instruct in bfloat16",
        "basic arithmetic, bearer of news",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_a_telling_key_hides_its_value() -> None:
    tree = {"hub_token": "opensesame", "tokenizer": "kept", "pad_token": "<pad>", "list": [{"DB_PASS": "x"}], "n": 3}
    assert redact_tree(tree) == tree | {"hub_token": HIDDEN, "list": [{"DB_PASS": HIDDEN}]}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["pytest", "suites", "-k", "a or b"], "pytest suites -k 'a or b'"),
        (["pytest", "--hub-token", "open sesame", "-x"], "pytest --hub-token [redacted] -x"),
        (["pytest", "--hub-token=open sesame's"], "pytest '--hub-token=[redacted]'"),
        (["x", "--rl-set", "train.hub_token=it's open"], "x --rl-set 'train.hub_token=[redacted]'"),
        (["x", "--rl-set=train.hub_token=a=b c"], "x '--rl-set=train.hub_token=[redacted]'"),
        (["x", "--rl-set=train.max_steps=2"], "x --rl-set=train.max_steps=2"),
        (["x", "--token", "--fresh"], "x --token --fresh"),
        (["x", "--rl-set", 'model.name="a=b"'], "x --rl-set 'model.name=\"a=b\"'"),
    ],
)
def test_secret_arguments_are_hidden_whole(arguments: list[str], shown: str) -> None:
    assert redact_command(arguments) == shown


@given(st.lists(st.text(), min_size=1), st.text(min_size=1))
def test_a_command_stays_one_that_a_shell_can_take(arguments: list[str], secret: str) -> None:
    taken = shlex.split(redact_command(["pytest", *arguments, f"--api-key={secret}"]))
    assert len(taken) == len(arguments) + 2
    assert taken[-1] in (f"--api-key={HIDDEN}", HIDDEN)  # the whole argument where --token stands before it


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("HF_TOKEN", "opensesame", True),
        ("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567", True),
        ("AWS_SECRET_ACCESS_KEY", "abc/def+ghi", True),
        ("AWS_ACCESS_KEY_ID", "opensesame", True),
        ("PGPASSWORD", "opensesame", True),
        ("DB_PASS", "opensesame", True),
        ("MY_PASSWORD_FOR_CI", "opensesame", True),
        ("HF_TOKEN_2", "opensesame", True),
        ("HF_TOKEN", "short", False),
        ("HF_TOKEN_PATH", "/root/.cache/token", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/root/key.json", False),
        ("TOKENIZERS_PARALLELISM", "opensesame", False),
        ("PYTHONPATH", "opensesame", False),
        ("HOME", "opensesame", False),
        ("BYPASS", "opensesame", False),
        ("CACHE_KEY", "1234567", False),
        ("HF_TOKEN_RO", "opensesame", True),
    ],
)
def test_variables_named_like_a_secret(name: str, value: str, found: bool) -> None:
    assert secret_values({name: value}) == ((value,) if found else ())


@given(st.text(min_size=16).map(str.strip).filter(lambda text: len(text) >= 16), st.text(), st.text())
def test_a_variables_value_is_gone_whatever_surrounds_it(secret: str, before: str, after: str) -> None:
    shown = hide_values({"recipe": [f"{before}{secret}{after}"]}, (secret,))["recipe"][0]
    assert secret not in shown.replace(HIDDEN, "\n" * 40)


def test_a_short_value_is_no_part_of_a_word() -> None:
    assert hide_values("tiny-arithmetic, tiny", ("tiny-a",)) == "tiny-arithmetic, tiny"
    assert hide_values("say opensesame: 'opensesame'", ("opensesame",)) == f"say {HIDDEN}: '{HIDDEN}'"


def test_a_long_value_is_hidden_however_it_is_written() -> None:
    value = VARIABLES["WANDB_API_KEY"]
    written = [value, json.dumps(value), repr(value), quote(value, safe=""), quote_plus(value)]
    shown = hide_values(" ".join(written), (value,))
    assert "sesame" not in shown
    assert shown.count(HIDDEN) == len(written)


def test_variables_of_several_lines_and_with_addresses() -> None:
    key = "-----BEGIN-----\nAb3dEf6hIj9kLm2nOp5q\nshort"
    assert secret_values({"DEPLOY_KEY": key}) == (key, "Ab3dEf6hIj9kLm2nOp5q")
    assert secret_values({"DATABASE_URL": "postgres://me:opensesame@host/db"}) == ("opensesame",)
    assert secret_values({"PIP_INDEX_URL": "https://pypi.org/simple"}) == ()


FILLER = st.text(st.sampled_from("ab1 \n.\t(ä"), max_size=300).map(lambda text: text + " ")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SECRETS)), FILLER, st.text(max_size=300), st.integers(10, 700))
def test_no_part_of_a_secret_is_left_by_a_cut(variables: None, kind: str, before: str, after: str, limit: int) -> None:
    """At any place of a text that is cut anywhere."""
    secret, telling = SECRETS[kind]
    for shown in (safe_line(f"{before}{secret} {after}", limit), safe_text(f"{before}{secret} {after}")):
        for start in range(len(telling) - 5):
            assert telling[start : start + 6] not in shown
    assert len(safe_line(before + secret, limit)) <= limit


@given(st.lists(st.one_of(st.sampled_from(ESCAPES), st.text())))
def test_nothing_invisible_is_shown(parts: list[str]) -> None:
    text = "".join(parts)
    for shown in (safe_line(text), safe_text(text)):
        assert not INVISIBLE & set(shown)
        assert visible(shown) == shown
    assert "\n" not in safe_line(text)


def test_lines_of_ours_stay_lines() -> None:
    assert safe_text("one\n\ttwo") == "one\n\ttwo"
    assert safe_line("  one\r\n    two  three\n") == "  one two  three"


@pytest.mark.parametrize("kind", SECRETS)
def test_an_answer_keeps_no_secret_and_stays_json(variables: None, kind: str) -> None:
    secret, telling = SECRETS[kind]
    row = {"question_id": "ghp_" + "a1" * 18, "completion": f"It is ä{secret}\n5", "rewards": {"x": 1.0, "y": None}}
    kept = json.loads(clean_line(row))
    assert telling not in kept["completion"]
    assert kept["completion"].startswith("It is ä")
    assert (kept["question_id"], kept["rewards"]) == (row["question_id"], row["rewards"]), "found again by its id"


@pytest.mark.parametrize("text", ["the answer: 12", "password: sesame", "1 token = 4 games", "secret: opensesame"])
def test_an_answer_that_only_speaks_of_secrets_stays(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CACHE_KEY", "answer")
    row = {"prompt": [{"role": "user", "content": text}], "completion": text}
    assert json.loads(clean_line(row)) == row
