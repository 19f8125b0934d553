"""What must not come out: secrets of twenty kinds and escape sequences of forty, made up."""

from __future__ import annotations

# Of the shape that each issuer documents. Split, so that no scanner of this repository takes them for real.
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
    "LangSmith": "lsv2_pt_" + "0123456789abcdef" * 2 + "_0123456789",
    "Vault": "hvs." + BODY,
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + BODY,
    "Neptune": "eyJ" + "hcGlfYWRkcmVzcyI6" + BODY,
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "SendGrid": "SG." + BODY[:22] + "." + BODY,
    "Telegram": "123456789:AA" + BODY[:33],
    "Twilio": "SK" + "0123456789abcdef" * 2,
}
VARIABLES = {
    "HF_TOKEN": "quiet-otter/walks/42+home",
    "MY_SERVICE_PASSWORD": "open7sesame",
    "WANDB_API_KEY": 'it\'s "open" sesame\\99',
    "DATABASE_URL": "postgres://me:quiet0tter@host/db",
}
_KEY_LINES = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", "VJTUt9Us8cKjMzEfYyjiWA4R4"]
_KEY_NAME = "PRIVATE" + " KEY"
SECRETS = {
    **{name: (TOKENS[name], TOKENS[name][6:20]) for name in list(TOKENS)[:4]},
    **{name: (TOKENS[name], TOKENS[name][6:20]) for name in ("Anthropic", "GitHub personal", "GitHub fine-grained")},
    **{name: (TOKENS[name], TOKENS[name][6:20]) for name in ("GitLab", "Slack bot", "AWS key id", "Google", "npm")},
    "JSON web token": (TOKENS["JSON web token"], "zdWIiOiIxMjM0NTY3"),
    "password in an address": ("https://me:hunter2hunter@host/x", "hunter2hunter"),
    "bearer header": ("Authorization: Bearer 0a1b2c3d4e5f6g7h8i9j", "0a1b2c3d"),
    "basic header": ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpw"),
    "private key": (
        f"-----BEGIN {_KEY_NAME}-----\n" + "\n".join(_KEY_LINES) + f"\n-----END {_KEY_NAME}-----",
        "VJTUt9Us8cKj",
    ),
    "AWS secret key": ("aws_secret_access_key=wJalrXUtn7EMI/K7MDENG/bPxRfiCYzzzzzzKEY", "K7MDENG"),
    "a long variable's value": (VARIABLES["HF_TOKEN"], "otter/walks"),
    "a short variable's value": (VARIABLES["MY_SERVICE_PASSWORD"], "open7sesame"),
    "a quoted variable's value": (VARIABLES["WANDB_API_KEY"], 'open" sesame'),
    "a variable's password": ("quiet0tter", "quiet0tter"),
}
"""Kind: what stands in a text, and a part of it that must be seen nowhere."""

ESCAPES = (
    *("\x1b[2K", "\x1b[1A", "\x1b[31m", "\x1b[0m", "\x1b[H\x1b[2J", "\x1b[?25l", "\x1b[6n", "\x1b[8m"),
    *("\x1b]0;5 passed\x07", "\x1b]8;;http://evil.example\x1b\\", "\x1b]52;c;aGk=\x07", "\x1bc", "\x1b7", "\x1b8"),
    *("\x1bP+q544e\x1b\\", "\x1b_x\x1b\\", "\x1b^x\x1b\\", "\x1bM", "\x1b(0", "\x1b[1;1H5 passed"),
    *("\x9b2K", "\x9d0;x\x9c", "\x90x\x9c", "\x85", "\x84", "\x8d"),
    *("\r", "\x08\x08\x08", "\x07", "\x00", "\x0b", "\x0c", "\x0e", "\x7f", "\x1a"),
    *(
        "\u202e",
        "\u202d\u202c",
        "\u2066\u2069",
        "\u200e",
        "\u200f",
        "\u061c",
        "\u200b",
        "\u2028",
        "\ufeff",
        "\U000e0041",
    ),
)
INVISIBLE = frozenset("".join(ESCAPES)) - frozenset(map(chr, range(0x20, 0x7F)))
