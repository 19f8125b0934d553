"""Packed data comes back as it was, and cannot leave the block it stands in."""

import random

from hypothesis import given
from hypothesis import strategies as st

from harness.report.pack import pack, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_packed_comes_back(value):
    assert unpack(pack(value)) == value


@given(st.text())
def test_no_text_ends_its_block(text):
    packed = pack([text, "</script><!--"])
    assert "<" not in packed
    assert packed.isascii()
    assert packed.isprintable()


def test_repetitive_text_shrinks():
    words = random.Random(0).choices([f"word{index}" for index in range(500)], k=20_000)
    assert len(pack(" ".join(words))) < len(" ".join(words)) / 2
