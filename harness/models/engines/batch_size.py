"""How many sequences are continued at once, where nobody has said: as many as memory holds and as pay."""

from __future__ import annotations

START = {"cuda": 256}  # rows to begin with, by device
ELSEWHERE = 64
MOST = 4096
_FULL = 0.75  # a batch with so many of its rows taken tells how quick its size is
_STEPS = 16  # a speed is measured over so many steps
_WORTH = 1.10  # twice the rows must give so many times the tokens a second to go on


class BatchSize:
    """The number of rows a batch may have now.

    A fixed size stays, but for memory. Without one it starts with :data:`START` and doubles as long as more answers
    wait, memory holds them, and the last doubling gave a tenth more tokens a second; where it did not, the smaller
    size comes back.
    """

    def __init__(self, fixed: int | None, device: str) -> None:
        self.limit = fixed or START.get(device, ELSEWHERE)
        self._ceiling = fixed or MOST
        self._growing = fixed is None
        self._before: tuple[int, float] | None = None  # the smaller size, and its tokens a second
        self._steps = self._tokens = 0
        self._seconds = 0.0

    def observe(self, rows: int, tokens: int, seconds: float, *, waiting: int) -> None:
        """One step of ``rows`` sequences, which gave ``tokens``, took ``seconds``."""
        if not self._growing or rows < _FULL * self.limit:
            return
        self._steps, self._tokens, self._seconds = self._steps + 1, self._tokens + tokens, self._seconds + seconds
        if self._steps < _STEPS or not waiting:
            return
        speed = self._tokens / self._seconds
        self._steps = self._tokens = 0
        self._seconds = 0.0
        if self._before is not None and speed < self._before[1] * _WORTH:
            self.limit, self._growing = self._before[0], False
            return
        self._before = self.limit, speed
        self.limit = min(2 * self.limit, self._ceiling)
        self._growing = self.limit > self._before[0]

    def fit(self, rows: int) -> None:
        """Memory holds ``rows`` sequences."""
        self._ceiling = min(self._ceiling, max(1, rows))
        self.limit = min(self.limit, self._ceiling)

    def shrink(self, tried: int) -> bool:
        """Memory did not hold ``tried`` sequences; returns whether fewer can be tried."""
        self._growing = False
        self.limit = self._ceiling = max(1, tried // 2)
        return tried > 1
