"""Where a hung process stands, from faulthandler's text."""

from __future__ import annotations

import sysconfig

import pytest

from harness.training.launcher import where_it_hangs

LIBRARY = sysconfig.get_paths()["stdlib"]
WORKER = '  File "/x/harness/training/worker.py", line 120 in main\n'
STACKS = [
    (
        'Thread 0x01 (most recent call first):\n  File "/x/other.py", line 3 in wait\n\n'
        f'Current thread 0x02 (most recent call first):\n  File "/mine/reward.py", line 7 in slow\n{WORKER}',
        "; it hung in /mine/reward.py:7 in slow",
    ),
    (
        f'Current thread 0x02 (most recent call first):\n  File "{LIBRARY}/socket.py", line 700 in recv\n'
        f'  File "/v/site-packages/requests/api.py", line 2 in get\n  File "/mine/reward.py", line 7 in slow\n{WORKER}',
        f"; it hung in {LIBRARY}/socket.py:700 in recv, called from /mine/reward.py:7 in slow",
    ),
    ("", "; it did not say where it hung"),
    (
        'Current thread 0x02 (most recent call first):\n  File "/x/other.py", line 3 in wait\n',
        "; it did not say where it hung",
    ),
]


@pytest.mark.parametrize(("stack", "said"), STACKS)
def test_the_innermost_frame_and_the_users(stack, said):
    assert where_it_hangs([stack]) == said


def test_it_is_not_the_process_that_waits_for_the_one_that_hangs():
    waiting, hung = (
        f'Current thread 0x02 (most recent call first):\n  File "{file}", line 7 in slow\n{WORKER}'
        for file in ("/v/site-packages/torch/distributed/c10d.py", "/mine/reward.py")
    )
    for stacks in ([waiting, hung], [hung, waiting]):
        assert where_it_hangs(stacks) == "; it hung in /mine/reward.py:7 in slow"
