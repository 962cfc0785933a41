from __future__ import annotations

import time

import pytest
import torch

from vtryon import device
from vtryon.errors import UnavailableError, UsageError


def test_cpu_is_float32() -> None:
    compute = device.choose("cpu")
    assert (compute.device.type, compute.dtype) == ("cpu", torch.float32)
    assert str(compute) == "cpu float32"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_unknown_device_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        device.choose(name)


def test_absent_device_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="cuda:99"):
        device.choose("cuda:99")


def test_auto_always_finds_one() -> None:
    assert device.choose("auto").device.type in {"cpu", "cuda", "mps"}


def test_bfloat16_needs_the_instructions() -> None:
    assert device.has_fast_bfloat16("flags : sse avx512_bf16 fma")
    assert device.has_fast_bfloat16("flags : amx_bf16")
    assert not device.has_fast_bfloat16("flags : avx2 avx512f fma avx512_bf16x")


@pytest.mark.parametrize(("slow", "wanted"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_the_measured_time_decides(monkeypatch: pytest.MonkeyPatch, slow: torch.dtype, wanted: torch.dtype) -> None:
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda: True)
    chosen = device.fastest(device.choose("cpu"), lambda c: time.sleep(0.05 if c.dtype == slow else 0.0))
    assert chosen.dtype == wanted


def test_without_the_instructions_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda: False)
    asked: list[device.Compute] = []
    assert device.fastest(device.choose("cpu"), asked.append).dtype == torch.float32
    assert not asked


def test_autocast_changes_the_format_of_products_only_when_asked() -> None:
    a = torch.ones(4, 4)
    with device.Compute(torch.device("cpu"), torch.bfloat16).autocast():
        assert (a @ a).dtype == torch.bfloat16
    with device.choose("cpu").autocast():
        assert (a @ a).dtype == torch.float32
