"""Chat templates are programs of whoever made the model: they are given little time and memory, and no traceback."""

from __future__ import annotations

import resource

import pytest

from harness.models import policy as policies
from harness.models.policy import RefusedChatError
from harness.store.errors import ModelError

CHAT = [{"role": "user", "content": "What is 3 plus 4?"}]
FOR_EVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(9999) %}{% endfor %}"
FOR_EVER += "{% endfor %}{% endfor %}"
CALLS_ITSELF = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}"

HOSTILE = {
    "loops for ever": (FOR_EVER, "takes over 2 s for a chat; take another model"),
    "a tower of powers": ("{% set a = 9**(9**9) %}", "takes over 2 s for a chat"),
    "asks for 10 GB": ("{{ 'x' * 10**10 }}", "takes over 256 MiB for a chat"),
    "asks for 10 GB of lists": ("{% set a = [1] * 10**10 %}", "takes over 256 MiB for a chat"),
    "doubles itself": (
        "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "takes over 256 MiB for a chat",
    ),
    "writes a book": ("{{ 'x' * (11 * 10**6) }}", "writes 11,000,000 characters for a chat"),
    "calls itself": (CALLS_ITSELF, "refuses a chat: RecursionError"),
    "is nested too deep": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "refuses a chat: "),
    "divides by zero": ("{{ 1 // 0 }}", "refuses a chat: ZeroDivisionError"),
    "a number too long to write": ("{{ 10**5000 }}", "refuses a chat: ValueError"),
    "an overflow": ("{{ 10.0**400 }}", "refuses a chat: OverflowError"),
    "no template": ("{% if %}", "refuses a chat: "),
    "reaches for Python": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses a chat: "),
    "forges lines": (
        "{{ raise_exception('no\\x1b[2K\\r5 passed') }}",
        "refuses a chat: no␛.*5 passed",
    ),
}


@pytest.mark.parametrize(("template", "said"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_templates(make_policy, monkeypatch, template, said):
    monkeypatch.setattr(policies, "_TEMPLATE_SECONDS", 2.0 if "2 s" in said else 60.0)
    monkeypatch.setattr(policies, "_TEMPLATE_BYTES", 256 << 20)
    before = resource.getrlimit(resource.RLIMIT_AS)
    policy = make_policy(template=template)
    with pytest.raises(ModelError, match=said):
        policy.encode(CHAT)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert make_policy().encode(CHAT)


def test_what_only_some_chats_meet_is_met_there(make_policy, monkeypatch):
    monkeypatch.setattr(policies, "_TEMPLATE_SECONDS", 2.0)
    policy = make_policy(template="{% if '7' in messages[-1].content %}" + FOR_EVER + "{% endif %}{{ messages }}")
    assert policy.encode(CHAT)
    with pytest.raises(ModelError, match="takes over 2 s"):
        policy.encode([{"role": "user", "content": "What is 7 plus 4?"}])


def test_a_template_that_raises_for_a_system_turn_takes_none(make_policy):
    policy = make_policy(template="refuses system")
    assert not policy.takes_system
    with pytest.raises(RefusedChatError, match="no system role"):
        policy.render([{"role": "system", "content": "Be kind."}, *CHAT])
    assert policy.encode([{"role": "system", "content": "Be kind."}, *CHAT])
