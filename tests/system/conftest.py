"""Every test here needs a rig: a missing one is a failure, never skipped."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True
