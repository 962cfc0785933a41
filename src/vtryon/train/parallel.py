"""Several processes that train one network, as ``torchrun`` starts them: each has its share of every batch.

    torchrun --nproc-per-node 4 -m vtryon train tryon --preset paper --data VVT --out run

Without ``torchrun`` there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vtryon.errors import UsageError

_PATIENCE = timedelta(days=1)
"""How long processes wait for each other: the first one validates while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """This process among all of them: number ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, validates and reports."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """How many examples of a batch are this process's.

        Raises:
            UsageError: it cannot be shared evenly.
        """
        if batch % self.count:
            raise UsageError(f"a batch of {batch} cannot be shared by {self.count} processes; give --batch a multiple")
        return batch // self.count

    def shared(self, net: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes.

        Running statistics stay each process's own; the first one's are those that are kept.
        """
        if self.count == 1:
            return net
        device = next(net.parameters()).device
        places = [device.index or 0] if device.type == "cuda" else None
        with warnings.catch_warnings():
            # from torch 2.13 on the option goes by another name, which earlier ones do not know
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(net, device_ids=places, broadcast_buffers=False)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """This process's place among those that ``torchrun`` has started, and its own device: of the GPUs of a machine
    (``auto`` or ``cuda``) each process gets one.

    Raises:
        UsageError: a single GPU is named for several processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: each of {count} processes takes a GPU of its own; use --device cuda")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else device
        if cuda:
            torch.cuda.set_device(own)
        yield Ranks(distributed.get_rank(), count), own
    finally:
        distributed.destroy_process_group()
