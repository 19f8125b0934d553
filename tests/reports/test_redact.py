"""Secrets are gone, whatever stands around them; ordinary text stays as it is."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.redact import HIDDEN, hide_values, redact, redact_command, redact_tree, secret_values

# Made up, of the shape that each issuer documents. Split, so that no scanner of this repository takes them for real.
BODY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"
TOKENS = {
    "Hugging Face": "hf_" + BODY[:34],
    "Hugging Face organisation": "api_org_" + BODY[:34],
    "OpenAI": "sk-" + BODY + BODY[:12],
    "OpenAI project": "sk-proj-" + BODY + "_" + BODY + "-" + BODY,
    "Anthropic": "sk-ant-api03-" + BODY + "-" + BODY,
    "GitHub personal": "ghp_" + BODY,
    "GitHub server": "ghs_" + BODY,
    "GitHub fine-grained": "github_pat_" + BODY[:22] + "_" + BODY,
    "GitLab": "glpat-" + BODY[:20],
    "Slack bot": "xoxb-" + "123456789012-123456789012-" + BODY[:24],
    "Slack app": "xapp-1-" + "A0123456789-" + BODY,
    "AWS key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS temporary": "ASIA" + "IOSFODNN7EXAMPLE",
    "Google": "AIza" + BODY[:35],
    "npm": "npm_" + BODY,
    "PyPI": "pypi-" + "AgEIcHlwaS5vcmc" + BODY,
    "Stripe": "sk_live_" + BODY[:24],
    "Groq": "gsk_" + BODY,
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + BODY,
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "SendGrid": "SG." + BODY[:22] + "." + BODY,
    "Telegram": "123456789:AA" + BODY[:33],
}
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
