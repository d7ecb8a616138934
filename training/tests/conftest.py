import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "test" / "fixtures" / "parity"
CASES = ["separate-patch", "doubled-patch", "separate-statistics", "joined-patch", "frames-statistics"]
torch.set_num_threads(1)


@pytest.fixture
def fixture_config():
    """The parsed config.json of a parity case, to be changed at will."""
    return lambda name: json.loads((FIXTURES / name / "config.json").read_text("utf-8"))
