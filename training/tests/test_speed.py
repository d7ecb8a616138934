import torch
from conftest import FIXTURES

from omnivqa.speed import measure


def test_a_prompt_is_read_and_tokens_are_decoded_after_it():
    rates = measure(FIXTURES / "separate-patch", 8, 2, torch.float32, "cpu")
    assert rates["prefill"] > 0 and rates["decode"] > 0
    assert (rates["dtype"], rates["device"]) == ("float32", "cpu")
