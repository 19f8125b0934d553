"""What a process prints, in a file: whole lines, no secrets, also where a key or a line has no end."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from harness.training.log import Log

KEY = "PRIVATE" + " KEY"


def logged(path: Path, printed: bytes) -> str:
    Log(path, io.BufferedReader(io.BytesIO(printed))).finish()  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"no end", "no end\n"),
        (b"windows\r\n10 %\r20 %\r30 %\n", "windows\n10 %\n20 %\n30 %\n"),
        (b"not utf-8: \xff\n", "not utf-8: \ufffd\n"),
        (b"\x1b[31mred\x1b[0m ghp_0123456789abcdef\n", "␛[31mred␛[0m [redacted]\n"),
        (f"-----BEGIN {KEY}-----\nAb3d\nEf6h\n-----END {KEY}-----\nafter\n".encode(), "[redacted]\nafter\n"),
        (
            f"[0]: -----BEGIN {KEY}-----\n[0]: Ab3d\n[0]: -----END {KEY}-----\n[0]: after\n".encode(),
            "[0]: [redacted]\n[0]: after\n",
        ),
        (f"-----BEGIN {KEY}-----\nAb3d\nTraceback (most\nafter\n".encode(), "[redacted](most\nafter\n"),
    ],
)
def test_lines(tmp_path: Path, printed: bytes, kept: str) -> None:
    assert logged(tmp_path / "log.txt", printed) == kept


@pytest.mark.parametrize("place", [999_980, 1_000_000, 1_040_000])
def test_a_line_without_end_is_cut_where_no_secret_can_be(tmp_path: Path, place: int) -> None:
    line = b"x " * (place // 2) + b"ghp_" + b"0123456789abcdef" * 3 + b" x" * 100_000
    text = logged(tmp_path / "log.txt", line + b"\nafter\n")
    assert "0123456" not in text
    assert text.endswith("...\nafter\n")
    assert 900_000 < len(text) < 1_100_000


def test_who_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)']); print(1)"
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
    assert process.stdout is not None
    log = Log(tmp_path / "log.txt", process.stdout)
    process.wait()
    log.finish(seconds=0.5)
    assert (tmp_path / "log.txt").read_text() == "1\n"
