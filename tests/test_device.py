"""Which numbers training computes in."""

import pytest
import torch

from stylegan_toon.device import training_dtype
from stylegan_toon.errors import UsageError

CPU = torch.device("cpu")


def test_float32_can_be_asked_for_and_what_is_no_precision_is_refused(monkeypatch):
    monkeypatch.delenv("TOON_DTYPE", raising=False)
    usual = training_dtype(CPU)
    assert usual in (torch.float32, torch.bfloat16)
    monkeypatch.setenv("TOON_DTYPE", "auto")
    assert training_dtype(CPU) == usual
    monkeypatch.setenv("TOON_DTYPE", "float32")
    assert training_dtype(CPU) == torch.float32
    monkeypatch.setenv("TOON_DTYPE", "fast")
    with pytest.raises(UsageError, match="'fast'; it can be auto or float32"):
        training_dtype(CPU)
