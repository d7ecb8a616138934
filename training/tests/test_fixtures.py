import json
import math

import numpy as np
import pytest
import torch
from conftest import CASES, FIXTURES
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_weights

import fixtures


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    root = tmp_path_factory.mktemp("parity")
    for case in fixtures.CASES:
        fixtures.write_case(case, root)
    fixtures.write_pixels(root)
    return root


def same(fresh: dict, committed: dict) -> None:
    assert fresh.keys() == committed.keys()
    for name, array in committed.items():
        if array.dtype == np.float32:
            np.testing.assert_allclose(fresh[name], array, atol=2e-5, rtol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(fresh[name], array, err_msg=name)


def test_all_cases_are_committed():
    assert {path.name for path in FIXTURES.iterdir() if path.is_dir()} == {*CASES, "pixels"}
    assert {case.name for case in fixtures.CASES} == set(CASES)
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize("name", CASES)
def test_committed_case_is_what_the_script_writes(fresh, name):
    files = sorted(path.name for path in (FIXTURES / name).iterdir())
    assert files == sorted(path.name for path in (fresh / name).iterdir())
    for file in files:
        new, old = fresh / name / file, FIXTURES / name / file
        if file == "expected.safetensors":
            same(load_file(new), load_file(old))
        elif file.endswith(".safetensors"):
            weights, committed = load_weights(new), load_weights(old)
            assert weights.keys() == committed.keys()
            assert all(torch.equal(weights[key], tensor) for key, tensor in committed.items())
        elif file == "case.json":
            facts, committed = json.loads(new.read_text("utf-8")), json.loads(old.read_text("utf-8"))
            for case in (facts, committed):
                case.get("chat", {}).pop("smallestGap", None)
            assert facts == committed
        else:
            assert json.loads(new.read_text("utf-8")) == json.loads(old.read_text("utf-8"))


def test_committed_pixels_are_what_pillow_makes(fresh):
    same(load_file(fresh / "pixels" / "expected.safetensors"), load_file(FIXTURES / "pixels" / "expected.safetensors"))


@pytest.mark.parametrize("name", CASES)
def test_a_case_tests_something(name):
    """Logits spread, scores off the middle, more motion frames than a token sees, answers that are no repetition."""
    expected = load_file(FIXTURES / name / "expected.safetensors")
    facts = json.loads((FIXTURES / name / "case.json").read_text("utf-8"))
    assert 1 < expected["rating.logits"].std() < 6
    assert abs(float(expected["rating.score"][0]) - 0.5) > 0.05
    assert expected["rating.levels"].max() < 0.75
    assert math.isclose(expected["rating.levels"].sum(), 1, abs_tol=1e-5)
    if facts["motionRadius"] is not None:
        assert facts["motionFrames"] > sum(facts["motionRadius"])
        assert len(expected["rating.ids"]) > 100
    if "chat" in facts:
        assert facts["chat"]["smallestGap"] >= fixtures.CLEAR
        assert len(set(expected["chat.answer"].tolist())) >= 4
