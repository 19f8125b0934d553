"""What a secret looks like, and texts without any: tokens by their looks, values by their names, and the values of
environment variables that are named like a secret. ``redact.py`` applies it to all that is printed or written.

Nothing here scans back and forth over what comes before the telling part: a log line may have a million characters.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote, quote_plus


class _Pattern:
    """A regular expression that is compiled when it is first used: every pytest session imports this module."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(*self._given), name)  # which keeps what it has compiled


HIDDEN = "[redacted]"
SHORTEST = 6
"""Characters of an environment variable's value from which on it is looked for in texts: shorter ones are words."""
_IDS = frozenset({"id", "question_id", "group"})
_LONG = 16  # so long a value is hidden also within a word

# By issuer: the letters that tell, and the whole. They count where no letter or digit stands before them; what is long
# enough to be nothing else counts anywhere. "sk-learn", "hf_transfer" and "npm_config_registry" are none.
_ISSUED = {
    "hf_ api_org_": r"(?:hf_|api_org_)[A-Za-z0-9]{12,}",  # Hugging Face
    "ghp_ gho_ ghs_ ghu_ ghr_": r"gh[opsur]_[A-Za-z0-9]{12,}",  # GitHub
    "github_pat_": r"github_pat_[A-Za-z0-9_]{12,}",
    "glpat- glptt- glrt- gldt- gloas- glsoat- glft- glcbt- glimt- glagent- glffct-": (  # GitLab
        r"gl(?:pat|ptt|rt|dt|oas|soat|ft|cbt|imt|agent|ffct)-[A-Za-z0-9_\-]{12,}"
    ),
    "xox": r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}",  # Slack
    "xapp-": r"xapp-[A-Za-z0-9\-]{10,}",
    "AKIA ASIA ABIA ACCA": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",  # AWS
    "AIza": r"AIza[A-Za-z0-9_\-]{20,}",  # Google
    "ya29.": r"ya29\.[A-Za-z0-9_\-]{10,}",
    "GOCSPX-": r"GOCSPX-[A-Za-z0-9_\-]{10,}",
    "npm_": r"npm_[A-Za-z0-9]{12,}",
    "pypi-Ag": r"pypi-Ag[A-Za-z0-9_\-]{12,}",
    "sk_ rk_ pk_ whsec_": r"(?:[srp]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,}",  # Stripe
    "gsk_ r8_ dckr_pat_ dop_v1_ dor_v1_ nvapi- tgp_v1_ xai- pplx- KGAT_ wandb_v": (
        r"(?:gsk_|r8_|dckr_pat_|do[opr]_v1_|nvapi-|tgp_v1_|xai-|pplx-|KGAT_|wandb_v\d_)[A-Za-z0-9_\-]{20,}"
    ),
    "hvs. hvb. lsv2_ shpat_ lin_api_ glsa_ ntn_ sbp_ figd_ pcsk_ PMAK- NRAK- sntry ATATT3 nfp_ fw_": (
        r"(?:hv[sb]\.|lsv2_|shpat_|lin_api_|glsa_|ntn_|sbp_|figd_|pcsk_|PMAK-|NRAK-|sntry[su]_|ATATT3|nfp_|fw_)"
        r"[A-Za-z0-9_\-=]{20,}"
    ),
    "dapi": r"dapi[0-9a-f]{32}",  # Databricks
    "SK": r"SK[0-9a-f]{32}",  # Twilio
    "key-": r"key-[0-9a-f]{32}",  # Mailgun
    "SG.": r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
    "AGE-SECRET-KEY-1": r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    ":AA": r"\d{8,10}:AA[A-Za-z0-9_\-]{30,}",  # Telegram
    "eyJ": r"eyJ[A-Za-z0-9_\-]{8,400}\.[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]+|eyJhcGlf[A-Za-z0-9_\-=]{20,}",
}
_TELLING = tuple(" ".join(_ISSUED).split())
_SHORTEST_TOKEN = 15
_ANYWHERE = (
    r"hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{36,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[A-Za-z0-9_\-]{8,300}\.eyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]+"  # a JSON web token
)
# An escape that ends in a letter or digit may stand before one: "\n" as it is written, a colour, "%20".
_START = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abefnrtv0])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})"
    r"|(?<=[\[;]\dm)|(?<=[\[;]\d\dm)|(?<=%[0-9A-F]{2}))"
)
_TOKEN = _Pattern(rf"{_START}(?:{'|'.join(_ISSUED.values())})|{_ANYWHERE}")
_SK = _Pattern(rf"{_START}sk-[A-Za-z0-9_\-]{{16,}}")  # OpenAI, Anthropic and others
_SK_RUN = _Pattern(r"(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{12}")
_SLACK_HOOK = _Pattern(r"(hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9/_\-]+")
_SIGNED = _Pattern(r"(?i)([?&](?:sig|signature|x-amz-(?:signature|credential|security-token))=)[^&\s\"']+")
# One without its end goes on as long as it looks like base64; of one without its beginning, those lines are gone too.
_PRIVATE_KEY = _Pattern(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.{0,8000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\:,\-]*)",
    re.S,
)
_KEYS_END = _Pattern(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BASE64 = _Pattern(r"[A-Za-z0-9+/=]+")

# A tokenizer's "pad_token" and a trainer's "max_token" are no secrets.
_ORDINARY = "pad eos bos unk sep cls mask stop image audio video start end special chat next last first per each any"
_NOT_ORDINARY = "".join(
    rf"(?<!{word}[_ \-]token)" for word in (*_ORDINARY.split(), "max", "min", "num", "new", "every")
)
_KEY_OF = r"(?:api|access|private|secret|signing|encryption|account|auth|master|deploy|session|ssh)[_-]?key"
_SECRET_WORD = rf"(?:token{_NOT_ORDINARY}|secret|passw(?:or)?d|passphrase|{_KEY_OF}|credentials?)"
_QUOTED = r"\\\"[^\"\n]*\\\"|\"[^\"\n]*\"|'[^'\n]*'"
_IS = r"(?:\\?[\"'])?\s*[=:]\s*"
# "a=1,b=2" and "a=1, b" and "a=1&b=2" end at the comma or the &, which else is part of the value.
_VALUE = r"(?:[^\s,;&]|[,;&](?![\s\"']|[\w.\-]{1,60}[=:]|\Z))+"
_ASSIGNED = _Pattern(rf"(?i)({_SECRET_WORD}(?:_\d{{1,3}})?{_IS})({_QUOTED}|{_VALUE})")
_WHOLE = _Pattern(rf"(?i)([\"'])([\w.\-]{{0,60}}{_SECRET_WORD}=)((?:(?!\1)[^\n])*)")
_LOUD = _Pattern(r"\b([A-Z][A-Z0-9_]{0,60}_(?:PASS|PAT|KEY|AUTH|DSN|COOKIE)=)(" + _QUOTED + r"|[^\s,;&\"']+)")
_OPTION = _Pattern(rf"(?i)((?<![\w\-])--[\w-]{{0,40}}{_SECRET_WORD}\s+)({_QUOTED}|\S+)")
_BEARER = _Pattern(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=\-]{16,})")
_HEADER = _Pattern(
    rf"(?i)((?:authorization|(?:set-)?cookie){_IS}[\"']?(?:(?:bearer|basic|token|digest|apikey)\s+)?)"
    rf"((?!(?:bearer|basic|token|digest|apikey)\b)[^\s\"',;\[][^\s\"',;]*)"
)
_URL_LOGIN = _Pattern(
    r"(://)(?!git@)(?:[^\s/\"'<>]{1,400}@|[^\s/:@\"'<>]{0,100}:(?!\d{1,5}/)[^\s\"'<>@]{1,400}@(?=[\w\[]))"
)
_PASSWORD = _Pattern(r"://[^\s/:@]*:([^\s@]+)@")
# One of these stands in all that the last few know and that data may hold; most lines have "prompt_tokens".
# fmt: off
_NAMES = (
    "_key", "_KEY", "-key", "-Key", "apikey", "token=", "token:", '_token"', "_TOKEN", "-token", "ecret", "ECRET",
    "assw", "ASSW", "_AUTH", "_DSN", "_PAT", "uthorization", "ookie", "earer ", "asic ", "redential",
)
# fmt: on
_NUMBER = _Pattern(r"[\d.,eE+\-]+")
_SECRET_KEY = _Pattern(rf"(?i)(?:^|[_\-.]){_SECRET_WORD}(?:_\d{{1,3}})?$|^[A-Z][A-Z0-9_]*_(?:PASS|PAT|AUTH|DSN)$")
_SECRET_VARIABLE = _Pattern(
    r"(?i)(?:(?:^|_)(?:token|pat|pass|auth|dsn|cookie)|secret|passw(?:or)?d|passphrase|(?:^|_)\w*key|credentials?)"
    r"(?:_id)?(?:_\d{1,3})?$|(?:secret|password|(?:hf|gh|github|hub|api|access|auth|ci)_token)(?!.*(?:file|path|dir)$)"
)


def redact(text: str) -> str:
    """``text`` without tokens, ``password=...`` values, bearer headers, private keys and logins in URLs.

    >>> redact("HF_TOKEN=abc pytest --model hf_0123456789abcdef")
    'HF_TOKEN=[redacted] pytest --model [redacted]'
    >>> redact("pip install sk-learn; max_new_tokens=512, pad_token = eos")
    'pip install sk-learn; max_new_tokens=512, pad_token = eos'
    """
    lowered = text.lower()
    if any(word in lowered for word in ("token", "secret", "passw", "passphrase", "key", "credential")):
        text = _WHOLE.sub(rf"\g<1>\g<2>{HIDDEN}", text) if "=" in text else text
        text = _ASSIGNED.sub(_unless_a_remark, text)
        text = _OPTION.sub(rf"\g<1>{HIDDEN}", text) if "--" in text else text
    if "=" in text:
        text = _LOUD.sub(rf"\g<1>{HIDDEN}", text)
        text = _SIGNED.sub(rf"\g<1>{HIDDEN}", text)
    if "bearer" in lowered or "basic" in lowered:
        text = _BEARER.sub(rf"\g<1>{HIDDEN}", text)
    if "authorization" in lowered or "cookie" in lowered:
        text = _HEADER.sub(_unless_prose, text)
    return redact_data(text)


def redact_data(text: str) -> str:
    """The same for data, such as a model's answer or a question, where ``password: sesame`` may be anything: a value
    that is named has to look like no word too.

    >>> redact_data("token = 15, password: sesame, api_key=s3s4me99, https://me:sesame@host, hf_0123456789abcdef")
    'token = 15, password: sesame, api_key=[redacted], https://[redacted]@host, [redacted]'
    """
    if any(map(text.__contains__, _NAMES)):
        for pattern in (_ASSIGNED, _LOUD, _HEADER, _BEARER):
            text = pattern.sub(_unless_a_word, text)
    if "PRIVATE KEY" in text:
        text = _without_keys(text)
    if "://" in text and "@" in text:
        text = _URL_LOGIN.sub(rf"\g<1>{HIDDEN}@", text)
    if "hooks.slack.com" in text:
        text = _SLACK_HOOK.sub(rf"\g<1>{HIDDEN}", text)
    if "sk-" in text:
        text = _SK.sub(lambda match: HIDDEN if _SK_RUN.search(match[0], 3) else match[0], text)
    long = " ".join([word for word in text.split() if len(word) >= _SHORTEST_TOKEN])  # most texts have few
    if any(map(long.__contains__, _TELLING)):
        text = _TOKEN.sub(HIDDEN, text)
    return text


def within_data(value: Any, hide: Callable[[str], str]) -> Any:
    """Parsed JSON of answers and questions with ``hide`` done to each text; what rows are found by stays."""
    if isinstance(value, Mapping):
        return {key: inner if key in _IDS else within_data(inner, hide) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [within_data(inner, hide) for inner in value]
    return hide(value) if isinstance(value, str) else value


def _without_keys(text: str) -> str:
    *cut, rest = _KEYS_END.split(_PRIVATE_KEY.sub(HIDDEN, text))
    return HIDDEN.join([*map(_without_base64, cut), rest])


def _without_base64(text: str) -> str:
    """Without the base64 lines at its end; a line may begin with the time or the rank that printed it."""
    kept = re.split(r"(\n|\\n)", text)  # a line, an end, a line, ...
    end, shortest = "", 1  # only the last line of a key is short
    while kept:
        words = kept[-1].split()
        if words and not (len(words[-1]) >= shortest and _BASE64.fullmatch(words[-1])):
            break
        shortest = 16 if words else shortest
        kept.pop()
        end = kept.pop() if kept else ""
    return "".join([*kept, end])


def _unless_a_remark(match: re.Match[str]) -> str:
    """``token: 0.53`` and ``Unexpected token: }`` are said of other tokens; ``token=`` and ``password:`` are not."""
    if match[2].startswith(HIDDEN):
        return match[0]
    start = match.start(1)
    alone = match[1].lower().startswith("token") and (start == 0 or match.string[start - 1] not in "_-.\"'")
    if alone and (_NUMBER.fullmatch(match[2]) or (match[1][5:].startswith(":") and len(match[2]) < 8)):
        return match[0]
    return match[1] + HIDDEN


def _unless_a_word(match: re.Match[str]) -> str:
    value = match[2]
    mixed = len(value) >= 8 and re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return match[1] + HIDDEN if mixed and HIDDEN not in value else match[0]


def _unless_prose(match: re.Match[str]) -> str:
    """``cookie: 2 dollars`` is no header; ``Cookie: id=...`` is."""
    if "cookie" in match[1].lower() and "=" not in match[2]:
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


@cache
def _holds(name: str) -> str:
    """What kind of secret a variable of this name may hold."""
    if _SECRET_VARIABLE.search(name):
        return "value"
    return "password" if name.upper().endswith(("_URL", "_URI", "_PROXY")) else ""


def secret_values(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values of environment variables that are named like a secret, and the passwords in addresses that any holds,
    the longest first. Of a value of several lines, each long line is one too.

    Left out is what is too short to be told from a word, or is a number or a path.

    >>> secret_values({"HF_TOKEN": "opensesame", "HF_TOKEN_PATH": "/root/token", "TOKENIZERS_PARALLELISM": "false"})
    ('opensesame',)
    """
    values: list[str] = []
    for name in filter(_holds, variables):
        value = variables[name].strip()
        if _holds(name) == "value":
            values += [value, *(line.strip() for line in value.split("\n") if len(line) >= _LONG)]
        else:
            values += _PASSWORD.findall(value)
    if not values:
        return ()
    found = {
        value
        for value in values
        if len(value) >= SHORTEST
        and not value.startswith(("/", "~", "./"))
        and value.lower() not in ("disabled", "enabled", "default")
        and not (value.isdigit() and len(value) < _LONG)
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


@lru_cache(maxsize=8)
def _pattern(secrets: tuple[str, ...], data: bool) -> re.Pattern[str]:
    """Each value as it is, and as JSON, Python and addresses write it."""
    forms: dict[str, None] = {}
    for secret in secrets:
        if data and len(secret) < _LONG and secret.isalpha():
            continue
        written = (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), quote_plus(secret))
        for form in written:
            alone = len(secret) < _LONG
            forms[rf"{_START}{re.escape(form)}(?![A-Za-z0-9])" if alone else re.escape(form)] = None
    return re.compile("|".join(sorted(forms, key=len, reverse=True)) or r"(?!)")


def hide_values(value: Any, secrets: Sequence[str], *, data: bool = False) -> Any:
    """Text, or parsed JSON or TOML, without the given values. Short ones are hidden only where they stand alone, and in
    ``data``, where a word may be anybody's, only if they are no word.

    >>> hide_values({"note": "key opensesame!", "n": 1}, ("opensesame",))
    {'note': 'key [redacted]!', 'n': 1}
    """
    if isinstance(value, Mapping):
        return {hide_values(str(name), secrets): hide_values(inner, secrets) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_values(inner, secrets) for inner in value]
    if isinstance(value, str) and secrets:
        return _pattern(tuple(secrets), data).sub(HIDDEN, value)
    return value
