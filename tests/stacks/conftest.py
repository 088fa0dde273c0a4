"""The Pulumi program is a folder of its own: its modules are found as Pulumi finds them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "stacks"))
