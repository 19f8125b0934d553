"""Packed data comes back as it was, and cannot leave the block it stands in."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from harness.report.pack import pack, parts, unpack
from harness.report.words import Words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_packed_comes_back(value):
    assert unpack(pack(value)) == value


@given(JSON, st.lists(st.text(), max_size=3))
def test_what_is_packed_in_words_comes_back(value, others):
    text = json.dumps([value, others])
    words = Words.of([text] * 4)
    assert words.decode(words.encode(text)) == text
    assert unpack(pack(value, words), words) == value


def test_more_words_than_bytes_come_back():
    many = " ".join(f"{'abcdefgh'[i % 8]}{'ijklmnop'[i // 8 % 8]}{'qrstuvwx'[i // 64 % 8]}" * 2 for i in range(512))
    value = ["\\n \n\\", many * 3, "\ud800 \U0001f600 \x00"]
    words = Words.of([json.dumps(value)])
    assert len(words.listed) > 256 > words.single
    assert unpack(pack(value, words), words) == value


def test_words_make_texts_smaller_than_deflate_does():
    pick = random.Random(0)
    spoken = ["".join(pick.choices("etaoinshrdlu", k=pick.randint(2, 9))) for _ in range(2000)]
    texts = [" ".join(pick.choices(spoken, k=400)) for _ in range(200)]
    words = Words.of(map(json.dumps, texts))
    assert len(pack(texts, words)) + len(pack(words.listed)) < 0.85 * len(pack(texts))


@given(st.text())
def test_no_text_ends_its_block(text):
    packed = pack([text, "</script><!--"])
    assert "<" not in packed
    assert packed.isascii()
    assert packed.isprintable()


def test_repetitive_text_shrinks():
    words = random.Random(0).choices([f"word{index}" for index in range(500)], k=20_000)
    assert len(pack(" ".join(words))) < len(" ".join(words)) / 2


@given(st.lists(st.integers()), st.integers(1, 7))
def test_parts_are_the_whole(items, size):
    cut = list(parts(items, size))
    assert [item for part in cut for item in part] == items
    assert all(0 < len(part) <= size for part in cut)
