"""The packages' inventory and the cluster in memory, together."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "dcos"), str(TESTS / "services")]
