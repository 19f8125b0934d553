"""The helper beside the tests is a plain module; with importlib import mode nobody else makes it importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
