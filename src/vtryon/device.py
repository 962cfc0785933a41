"""Where networks run and in which number format: decided at run time, by what the machine can do and measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vtryon.errors import UnavailableError, UsageError


@dataclass(frozen=True)
class Compute:
    """A device and the format of its convolutions: float32, or bfloat16 / float16 under autocast."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which networks run; sampling grids must stay outside it."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def __str__(self) -> str:
        return f"{self.device} {str(self.dtype).removeprefix('torch.')}"


def choose(name: str = "auto") -> Compute:
    """The device ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` with its plain format.

    ``auto`` takes the first CUDA device that is there, else Apple's, else the CPU. CUDA gets bfloat16 where the GPU
    has it, else float16. A CPU gets float32; :func:`fastest` may raise that. Raises :class:`UsageError` for a name
    that is none, :class:`UnavailableError` for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: not a device; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: not supported; use auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UnavailableError(f"--device {name}: this machine offers {count} CUDA devices; use --device cpu")
        return Compute(device, torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UnavailableError(f"--device {name}: there is no Apple GPU here; use --device cpu")
    return Compute(device)


def has_fast_bfloat16(flags: str | None = None) -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AMX or AVX512-BF16); ``flags`` as in /proc/cpuinfo.

    Without either, bfloat16 convolutions are emulated: 50 times slower than float32 on an AVX2-only machine.
    """
    if flags is None:
        info = Path("/proc/cpuinfo")
        flags = info.read_text(errors="replace") if info.is_file() else ""
    words = set(flags.split())
    return "amx_bf16" in words or "avx512_bf16" in words


def fastest(compute: Compute, work: Callable[[Compute], object], repeats: int = 3) -> Compute:
    """``compute``, or on a CPU with bfloat16 instructions the same in bfloat16 if ``work`` then takes less time.

    ``work`` runs one typical step in the given format; it is called ``repeats`` times in each after one warm-up and
    the best times are compared.
    """
    if compute.device.type != "cpu" or compute.dtype != torch.float32 or not has_fast_bfloat16():
        return compute
    candidates = (compute, Compute(compute.device, torch.bfloat16))
    best: dict[Compute, float] = {}
    for candidate in candidates:
        work(candidate)
        best[candidate] = min(_seconds(work, candidate) for _ in range(repeats))
    return min(candidates, key=best.__getitem__)


def _seconds(work: Callable[[Compute], object], compute: Compute) -> float:
    start = time.perf_counter()
    work(compute)
    return time.perf_counter() - start
