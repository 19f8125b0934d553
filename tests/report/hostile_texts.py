"""Texts that try to become more than text when a page shows them. Each raises ``window.owned`` if it succeeds."""

from __future__ import annotations

import itertools

_MOVES = ("window.owned=1", "alert(1)", "parent.owned=1", "fetch('https://example.invalid/')", "document.title='owned'")

_SHAPES = (
    "<script>{move}</script>",
    "<ScRiPt >{move}</sCrIpT >",
    "</script><script>{move}</script>",
    "</style><script>{move}</script>",
    "</title></textarea></noscript><script>{move}</script>",
    "<img src=x onerror={move}>",
    '<img src="https://example.invalid/pixel.png" onload="{move}">',
    "<svg onload={move}>",
    "<svg><animate onbegin={move} attributeName=x dur=1s>",
    "<svg><script>{move}</script></svg>",
    "<details open ontoggle={move}>",
    "<body onload={move}>",
    "<iframe srcdoc='<script>{move}</script>'></iframe>",
    "<iframe src=javascript:{move}></iframe>",
    "<a href=javascript:{move} autofocus onfocus={move}>x</a>",
    "<input autofocus onfocus={move}>",
    "<math><mtext><table><mglyph><style><img src=x onerror={move}>",
    '"><script>{move}</script>',
    "' onmouseover='{move}' x='",
    '" autofocus onfocus="{move}" x="',
    "<!-- --><script>{move}</script><!--",
    "<![CDATA[<script>{move}</script>]]>",
    "<base href=https://example.invalid/><link rel=stylesheet href=//example.invalid/x.css>",
    '<meta http-equiv=refresh content="0;url=javascript:{move}">',
    "<style>@import 'https://example.invalid/x.css'; * {{ display: none }}</style>",
    '<div style="position:fixed;inset:0;background:url(https://example.invalid/x)">',
    "<object data=javascript:{move}></object><embed src=javascript:{move}>",
    "<form action=https://example.invalid><button autofocus onfocus={move}>x",
    "<template><script>{move}</script></template>",
    "<plaintext><xmp><noembed>",
)

_TEMPLATES = (
    "{{7*7}}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for x in range(9) %}{{ x }}{% endfor %}",
    "{% include '/etc/hostname' %}",
    "{# comment #}${7*7}#{7*7}<%= 7*7 %>",
    "$\\frac{1}{2}$ $x_{ $",
)

_BROKEN = (
    "</div></section></details></main></body></html>",
    "<div><table><tr><td><b><i>",
    "<p title='never closed",
    "&lt;script&gt; &amp; &#60; &#x3c; &nbsp &copy",
    "]]> --> */ */ </",
    "a < b > c & d \" e ' f ` g",
)

HOSTILE: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *(shape.format(move=move) for shape, move in itertools.product(_SHAPES, _MOVES)),
            *(f"{text} {number}" for text, number in itertools.product(_TEMPLATES + _BROKEN, range(6))),
        ]
    )
)
"""Printable hostile texts: a page must show each exactly as it is."""

INVISIBLE: tuple[tuple[str, str], ...] = (
    ("a\x00b", "a␀b"),
    ("bell\x07escape\x1b[31mred", "bell␇escape␛[31mred"),
    ("one\rtwo", "one␍two"),
    ("delete\x7f", "delete␡"),
    ("c1\x85x\x9by", "c1U+0085xU+009By"),
    ("right \u202eot tfel\u202c done", "right U+202Eot tfelU+202C done"),
    ("isolate \u2066x\u2069", "isolate U+2066xU+2069"),
    ("zero\u200bwidth\ufeff", "zeroU+200BwidthU+FEFF"),
    ("half \ud800 a pair \udfff", "half \ufffd a pair \ufffd"),  # as they are read: no characters
    ("line\u2028separator", "lineU+2028separator"),
    ("tag\U000e0041", "tagU+E0041"),
    ("not a character \ufffe", "not a character U+FFFE"),
)
"""(text, what the page shows for it)."""

LONG_LINE = "x" * 1_000_000
