"""Packed data comes back as it was, and cannot leave the block it stands in."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from reports.pack import pack, parts, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_packed_comes_back(value):
    expected = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    assert unpack(pack(value)) == expected


@given(st.text())
def test_no_text_ends_its_block(text):
    assert set(pack([text, "</script><!--"])) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    )


def test_repetitive_text_shrinks():
    words = random.Random(0).choices([f"word{index}" for index in range(500)], k=20_000)
    assert len(pack(" ".join(words))) < len(" ".join(words)) / 2


@given(st.lists(st.integers()), st.integers(1, 7))
def test_parts_are_the_whole(items, size):
    cut = list(parts(items, size))
    assert [item for part in cut for item in part] == items
    assert all(0 < len(part) <= size for part in cut)
