"""The helpers of suites/peers are plain modules; with importlib import mode nobody else makes them importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "suites" / "peers"))
