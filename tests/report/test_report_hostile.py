"""Untrusted text stays text: in real Chromium, from the file system, under the page's own policy."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hostile_texts import HOSTILE, INVISIBLE, LONG_LINE
from made_up_runs import MadeUp, records_of, write_run
from report_pages import page_of, pages_of, run_page_of

from harness.report.present import FOLD_AT
from harness.report.render import render_session
from harness.store.redact import visible
from harness.store.run_files import Verdicts
from harness.store.secrets import redact
from tests.run_files import verdict

if TYPE_CHECKING:
    from pathlib import Path

SPOKEN = (*HOSTILE, *(text for text, _ in INVISIBLE), LONG_LINE)


def hostile_run(root: Path) -> Path:
    """A run in which everything that can be text is hostile."""
    bad = '"><img src=x onerror=alert(1)>'
    made_up = MadeUp(
        recipe="<img src=x onerror=alert(1)>",
        questions=len(SPOKEN),
        steps=3,
        functions={"<script>alert(1)<\u202escript>": 1.0, bad: 0.5},
        speech=lambda side, index, sample: SPOKEN[index],
        question_text=lambda index: SPOKEN[-1 - index],
        description="</title><script>alert(1)</script>\x00\ud800",
        environment={
            "command": bad,
            "platform": "\u202e",
            "packages": {bad: bad},
            "git": {"commit": bad, "dirty": False},
        },
    )
    run = write_run(root, made_up)
    rows = records_of(run, "after")
    for row in rows[:20]:
        row |= {"extracted": bad, "grades": {bad: {"extracted": bad, "correct": None}}}
    (run / "after" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = verdict(bad, "UNSOUND", bad, numbers={bad: bad})
    (run / "verdicts.json").write_text(json.dumps(Verdicts(made_up.recipe, 0, {}, (said,)).to_json()))
    (run / "train" / "error.txt").write_bytes(b"</div><script>alert(1)</script>\x00\xff\xed\xa0\x80")
    return run


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    return render_session([hostile_run(root)], root / "report")


@pytest.fixture(scope="module")
def hostile_page(hostile_report: Path) -> Path:
    return run_page_of(hostile_report)


def test_corpus_is_large_enough() -> None:
    assert len(set(SPOKEN)) == len(SPOKEN) >= 200


def test_names_of_pages_are_tame(hostile_report: Path) -> None:
    for path in pages_of(hostile_report):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)


def test_files_are_plain_utf8_without_invisible_characters(hostile_report: Path) -> None:
    for path in pages_of(hostile_report):
        text = path.read_bytes().decode("utf-8")
        assert visible(text) == text
        assert "\r" not in text


def test_no_element_comes_from_a_text(hostile_report: Path) -> None:
    for path in pages_of(hostile_report):
        tags: Counter[str] = Counter()
        attributes: set[str] = set()
        scripts: Counter[str | None] = Counter()

        class Reader(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                tags[tag] += 1  # noqa: B023 - used within the loop
                attributes.update(name for name, _ in attrs)  # noqa: B023
                if tag == "script":
                    scripts[dict(attrs).get("type")] += 1  # noqa: B023

        text = path.read_text(encoding="utf-8")
        Reader().feed(text)
        assert tags["style"] == tags["title"] == tags["body"] == 1
        assert tags["form"] <= 2
        assert scripts.keys() <= {None, "application/json", "text/plain"}
        assert scripts[None] == (2 if path == hostile_report else 4), (
            "the page's own, and what renders Markdown and LaTeX"
        )
        assert not {"img", "iframe", "object", "embed", "base", "animate", "math", "plaintext"} & set(tags)
        bad = {"style", "src", "srcdoc", "autofocus"}
        assert not {name for name in attributes if name.startswith("on") or name in bad}


def test_nothing_runs_without_javascript(chromium: Any, hostile_page: Path) -> None:
    opened = chromium.open(hostile_page, java_script_enabled=False)
    assert opened.faults == []
    assert "owned" not in opened.page.title()


def test_nothing_runs_and_everything_is_shown_raw_in_the_app(chromium: Any, hostile_page: Path) -> None:
    opened = chromium.open(hostile_page, "#q1&raw=1")
    page = opened.page
    page.wait_for_selector("html[data-questions=ready]", state="attached")
    shown: list[str] = []
    for number in range(1, len(SPOKEN) + 1):
        page.evaluate(f"location.hash = 'q{number}&raw=1'")
        page.locator(".card .bar b", has_text=re.compile(f"^Question {number}$")).wait_for()
        shown += page.locator(".card .answer > .text").all_text_contents()
    page.evaluate("location.hash = 'q=%3Cscript%3E&sort=extracted'")
    page.wait_for_selector("#app[aria-busy=false]")
    page.wait_for_timeout(200)
    assert opened.faults == []
    assert page.evaluate("window.owned") is None
    assert "✗" in page.title()
    expect_all(shown)


DEEP = ("> " * 3000 + "x", "$" + "{" * 3000 + "$", "$\\frac" * 800, "**a" * 2000, "[" * 7000, "| a |\n|---|\n" * 500)


def test_nothing_runs_where_markup_is_rendered(chromium: Any, hostile_page: Path) -> None:
    """Each hostile text as Markdown and as LaTeX: only elements that the page makes itself, and soon."""
    opened = chromium.open(hostile_page)
    page = opened.page
    page.wait_for_selector("html[data-questions=ready]", state="attached")
    forms = [text for each in SPOKEN for text in (f"- {each}", f"# x\n{each}", f"${each}$", f"\\[ {each} \\]")]
    forms += [*DEEP, "$\\href{javascript:window.owned=1}{x} \\class{a}{b} \\style{color:red}{c} \\includegraphics{d}$"]
    tags = page.evaluate(
        """(texts) => {
            const box = document.createElement("div"), slow = [];
            document.body.append(box);
            for (const text of texts) {
                const started = performance.now();
                box.append(textOf(text, false));
                if (performance.now() - started > 2000) slow.push(text.slice(0, 40));
            }
            const names = new Set(Array.from(box.querySelectorAll("*"), (each) => each.localName));
            const attributes = Array.from(box.querySelectorAll("*"), (each) => each.getAttributeNames()).flat();
            return [[...names], [...new Set(attributes)], slow];
        }""",
        forms,
    )
    names, attributes, slow = tags
    assert slow == []
    assert not {"script", "img", "a", "iframe", "style", "svg", "form", "input", "object", "embed", "base"} & set(names)
    assert {"math", "li", "p"} <= set(names)
    assert not {name for name in attributes if name.startswith("on") or name in ("href", "src", "style", "id")}
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None
    assert opened.faults == []


def expect_all(shown: list[str]) -> None:
    assert len(shown) == 2 * len(SPOKEN)
    for text in HOSTILE:
        assert shown.count(text) == 2, text
    for text, symbols in INVISIBLE:
        assert shown.count(symbols) == 2, ascii(text)
    assert sum(f"{len(LONG_LINE) - FOLD_AT:,} characters left out" in text for text in shown) == 2


@pytest.mark.parametrize("width", [360, 1280])
def test_layout_holds(chromium: Any, hostile_report: Path, width: int) -> None:
    for path in pages_of(hostile_report):
        page = chromium.open(path, viewport={"width": width, "height": 800}).page
        if path != hostile_report:
            page.wait_for_selector("html[data-questions=ready]", state="attached")
            page.evaluate("location.hash = 'q1'")
            page.locator(".card .answer").first.wait_for()
            page.evaluate("document.querySelectorAll('.panel').forEach((panel) => panel.classList.add('on'))")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_policy_allows_only_the_pages_own_code(hostile_report: Path) -> None:
    for path in pages_of(hostile_report):
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', path.read_text(encoding="utf-8"))
        assert policy is not None
        assert policy[1].startswith("default-src &#39;none&#39;;")
        assert "unsafe" not in policy[1]


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("HF_TOKEN=hf_abcdefghijklmnopqrst pytest", "HF_TOKEN=[redacted] pytest", "hf_abc"),
        ("--model hf_abcdefghijklmnopqrst", "--model [redacted]", "hf_abc"),
        ("OPENAI sk-proj-0123456789abcdefABCDEF x", "OPENAI [redacted] x", "sk-proj"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[redacted]", "ghp_"),
        ("https://user:pass@host/path", "https://[redacted]@host/path", "pass"),
        ("--api-key 12345 --lr 1", "--api-key [redacted] --lr 1", "12345"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwx", "Authorization: Bearer [redacted]", "abcdef"),
        (
            "max_new_tokens = 64, pad_token = '<pad>', task-0123456789abcdef",
            "max_new_tokens = 64, pad_token = '<pad>'",
            "%",
        ),
    ],
)
def test_secrets_are_redacted(text: str, kept: str, gone: str) -> None:
    assert kept in redact(text)
    assert gone not in redact(text)


@pytest.mark.parametrize("unit", ["a-", "-", "eyJ-", "eyJabcdefgh.", "a.", "a://", "token ", "=", " ", "x", "basic "])
def test_redaction_of_a_long_line_takes_no_longer_than_reading_it(unit: str) -> None:
    line = unit * (1_000_000 // len(unit))
    started = time.process_time()
    redact(line)
    assert time.process_time() - started < 10


def test_redaction_reaches_the_page(tmp_path: Path) -> None:
    secret = "hf_abcdefghijklmnopqrst"
    environment = {"command": f"HF_TOKEN={secret} pytest", "packages": {"API_KEY": "opensesame", "tokenizer": "kept"}}
    run = write_run(tmp_path, MadeUp(environment=environment, description=f"uses {secret}", error=f"401 for {secret}"))
    page = page_of(run, output=tmp_path / "report")
    assert secret not in page
    assert "opensesame" not in page
    assert "tokenizer</dt><dd>kept" in page
