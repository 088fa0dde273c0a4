"""The cluster and the hosts in memory, as the services' tests have them."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "dcos"), str(TESTS / "services")]
