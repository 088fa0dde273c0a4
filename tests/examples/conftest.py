import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "examples" / "orders"), str(PROJECT / "examples" / "edge")]
