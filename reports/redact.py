"""Secrets taken out of what is printed about the environment: tokens by their looks, values by their names, and the
values of environment variables that are named like a secret.

Nothing here scans back and forth over what comes before the telling part: a log line may have a million characters.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "[redacted]"
SHORTEST = 6
"""Characters of an environment variable's value from which on it is looked for in texts: shorter ones are words."""

# By issuer. A prefix counts where no letter or digit stands before it; what is long enough to be nothing else counts
# anywhere. "sk-learn", "hf_transfer" and "npm_config_registry" are none.
_ISSUED = (
    r"(?:hf_|api_org_)[A-Za-z0-9]{12,}",  # Hugging Face
    r"gh[opsur]_[A-Za-z0-9]{12,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{12,}",
    r"gl(?:pat|ptt|rt|dt|oas|soat|ft|cbt|imt|agent|ffct)-[A-Za-z0-9_\-]{12,}",  # GitLab
    r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}",  # Slack
    r"xapp-[A-Za-z0-9\-]{10,}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",  # AWS
    r"AIza[A-Za-z0-9_\-]{20,}",  # Google
    r"ya29\.[A-Za-z0-9_\-]{10,}",
    r"GOCSPX-[A-Za-z0-9_\-]{10,}",
    r"npm_[A-Za-z0-9]{12,}",
    r"pypi-Ag[A-Za-z0-9_\-]{12,}",
    r"(?:[srp]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,}",  # Stripe
    r"(?:gsk_|r8_|dckr_pat_|do[opr]_v1_|nvapi-|tgp_v1_|xai-|pplx-|KGAT_|wandb_v\d_)[A-Za-z0-9_\-]{20,}",
    r"dapi[0-9a-f]{32}",  # Databricks
    r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"\d{8,10}:AA[A-Za-z0-9_\-]{30,}",  # Telegram
)
_ANYWHERE = (
    r"hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{36,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[A-Za-z0-9_\-]{8,300}\.eyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]+"  # a JSON web token
)
_TOKEN = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(_ISSUED)})|{_ANYWHERE}"
    r"|(?<![\w\-])eyJ[A-Za-z0-9_\-]{8,400}\.[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]+"
)
_SK = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{16,}")  # OpenAI, Anthropic and others
_SK_RUN = re.compile(r"(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{12}")
_SLACK_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9/_\-]+")
_SIGNED = re.compile(r"(?i)([?&](?:sig|signature|x-amz-(?:signature|credential|security-token))=)[^&\s\"']+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S
)

# A tokenizer's "pad_token" and a trainer's "max_token" are no secrets.
_ORDINARY = "pad eos bos unk sep cls mask stop image audio video start end special chat next last first per each any"
_NOT_ORDINARY = "".join(rf"(?<!{word}[_ \-])" for word in (*_ORDINARY.split(), "max", "min", "num", "new", "every"))
_KEY_OF = r"(?:api|access|private|secret|signing|encryption|account|auth|master|deploy|session|ssh)[_-]?key"
_SECRET_WORD = rf"(?:{_NOT_ORDINARY}token|secret|passw(?:or)?d|passphrase|{_KEY_OF}|credentials?)"
_QUOTED = r"\"[^\"\n]*\"|'[^'\n]*'"
_ASSIGNED = re.compile(rf"(?i)({_SECRET_WORD}(?:_\d{{1,3}})?[\"']?\s*[=:]\s*)({_QUOTED}|[^\s,;&]+)")
_WHOLE = re.compile(rf"(?i)([\"'])([\w.\-]{{0,60}}{_SECRET_WORD}=)((?:(?!\1)[^\n])*)")
_LOUD = re.compile(r"\b([A-Z][A-Z0-9_]{0,60}_(?:PASS|PAT|KEY|AUTH|DSN|COOKIE)=)(" + _QUOTED + r"|[^\s,;&\"']+)")
_OPTION = re.compile(rf"(?i)((?<![\w\-])--[\w-]{{0,40}}{_SECRET_WORD}\s+)({_QUOTED}|\S+)")
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=\-]{16,})")
_URL_LOGIN = re.compile(r"(://)(?!git@)[^\s/\"'<>]{1,400}@")
_NUMBER = re.compile(r"[\d.,eE+\-]+")
_SECRET_KEY = re.compile(rf"(?i)(?:^|[_\-.]){_SECRET_WORD}(?:_\d{{1,3}})?$|^[A-Z][A-Z0-9_]*_(?:PASS|PAT|AUTH|DSN)$")
_SECRET_VARIABLE = re.compile(
    r"(?i)(?:(?:^|_)(?:token|pat|pass|auth|dsn|cookie)|secret|passw(?:or)?d|passphrase|(?:^|_)\w*key|credentials?)"
    r"(?:_id)?(?:_\d{1,3})?$|(?:secret|password)(?!.*(?:file|path|dir)$)"
)


def redact(text: str) -> str:
    """``text`` without tokens, ``password=...`` values, bearer headers, private keys and logins in URLs.

    >>> redact("HF_TOKEN=abc pytest --model hf_0123456789abcdef")
    'HF_TOKEN=[redacted] pytest --model [redacted]'
    >>> redact("pip install sk-learn; max_new_tokens=512, pad_token = eos")
    'pip install sk-learn; max_new_tokens=512, pad_token = eos'
    """
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _WHOLE.sub(rf"\g<1>\g<2>{HIDDEN}", text)
    text = _ASSIGNED.sub(_unless_a_remark, text)
    text = _LOUD.sub(rf"\g<1>{HIDDEN}", text)
    text = _OPTION.sub(rf"\g<1>{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<1>{HIDDEN}", text)
    text = _URL_LOGIN.sub(rf"\g<1>{HIDDEN}@", text)
    text = _SLACK_HOOK.sub(rf"\g<1>{HIDDEN}", text)
    text = _SIGNED.sub(rf"\g<1>{HIDDEN}", text)
    text = _SK.sub(lambda match: HIDDEN if _SK_RUN.search(match[0], 3) else match[0], text)
    return _TOKEN.sub(HIDDEN, text)


def _unless_a_remark(match: re.Match[str]) -> str:
    """``token: 0.53`` and ``Unexpected token: }`` are said of other tokens; ``token=`` and ``password:`` are not."""
    if match[2].startswith(HIDDEN):
        return match[0]
    start = match.start(1)
    alone = match[1].lower().startswith("token:") and (start == 0 or match.string[start - 1] not in "_-.\"'")
    if alone and (len(match[2]) < 8 or _NUMBER.fullmatch(match[2])):
        return match[0]
    return match[1] + HIDDEN


def redact_tree(value: Any, key: str = "") -> Any:
    """The same for parsed JSON or TOML, where a telling key hides its whole value."""
    if isinstance(value, dict):
        return {redact(str(name)): redact_tree(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [redact_tree(inner, key) for inner in value]
    if isinstance(value, str):
        return HIDDEN if value and _SECRET_KEY.search(key) else redact(value)
    return value


def redact_command(arguments: Sequence[str]) -> str:
    """A command line as a shell would take it, each secret argument hidden whole, spaces and quotes in it included.

    >>> redact_command(["pytest", "--hub-token", "a b", "--rl-set", "train.hub_token=c d"])
    "pytest --hub-token [redacted] --rl-set 'train.hub_token=[redacted]'"
    """
    shown, hidden = [], False
    for argument in arguments:
        name, equals, _ = argument.rpartition("=") if argument.count("=") < 2 else _last_name(argument)
        if hidden and not argument.startswith("--"):
            shown.append(HIDDEN)
        elif equals and _SECRET_KEY.search(name.lstrip("-")):
            shown.append(f"{redact(name)}={HIDDEN}")
        else:
            shown.append(redact(argument))
        hidden = argument.startswith("--") and not equals and bool(_SECRET_KEY.search(argument[2:]))
    return shlex.join(shown).replace(f"'{HIDDEN}'", HIDDEN)


def _last_name(argument: str) -> tuple[str, str, str]:
    """``--rl-set=train.hub_token=x`` up to the first ``=`` whose name is a secret's, else up to the first."""
    end = -1
    while (end := argument.find("=", end + 1)) >= 0:
        if _SECRET_KEY.search(argument[:end].rpartition("=")[2]):
            return argument[:end], "=", argument[end + 1 :]
    return argument.partition("=")


def secret_values(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values of environment variables that are named like a secret, the longest first.

    Left out is what is too short to be told from a word, or is a number or a path.

    >>> secret_values({"HF_TOKEN": "opensesame", "HF_TOKEN_PATH": "/root/token", "TOKENIZERS_PARALLELISM": "false"})
    ('opensesame',)
    """
    found = {
        value.strip()
        for name, value in variables.items()
        if _SECRET_VARIABLE.search(name)
        and len(value.strip()) >= SHORTEST
        and not value.strip().startswith(("/", "~", "./"))
        and value.strip().lower() not in ("disabled", "enabled", "default")
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def hide_values(value: Any, secrets: Sequence[str]) -> Any:
    """Text, or parsed JSON or TOML, without the given values. Short ones are hidden only where they stand alone.

    >>> hide_values({"note": "key opensesame!", "n": 1}, ("opensesame",))
    {'note': 'key [redacted]!', 'n': 1}
    """
    if isinstance(value, Mapping):
        return {hide_values(str(name), secrets): hide_values(inner, secrets) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_values(inner, secrets) for inner in value]
    if isinstance(value, str):
        for secret in secrets:
            if len(secret) >= 16:
                value = value.replace(secret, HIDDEN)
            else:
                value = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", HIDDEN, value)
    return value
