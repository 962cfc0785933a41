"""What each stage costs per frame, on a clip and on this machine: ``vtryon benchmark``.

To tell what each costs, the stages run one after the other on every frame; each second is counted once, for the
innermost stage that is at work. How fast a real run is, in which some are at work side by side, is measured after that.
The first frames are left out of both: they load models and fill caches.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from vtryon.device import choose
from vtryon.environment import Environment, describe, example
from vtryon.errors import BadInputError
from vtryon.garment import load_garment
from vtryon.pipeline import TryOnOptions, try_on
from vtryon.progress import Progress, Report, silent
from vtryon.types import Garment
from vtryon.video import VideoInfo, VideoReader, VideoWriter, probe

T = TypeVar("T")

Lap = Mapping[str, tuple[float, float]]
"""Seconds of one frame by stage: on the clock, and of all CPU cores."""

ORDER = ("decode", "pose", "labels", "track", "warp", "flow", "render", "other", "encode")


@dataclass(frozen=True)
class BenchOptions:
    """What to measure: ``frames`` after ``warm_up`` frames that do not count; the bundled example by default."""

    person: Path | None = None
    garment: Path | None = None
    frames: int = 48
    warm_up: int = 16
    device: str = "auto"


@dataclass(frozen=True)
class StageCost:
    """Milliseconds per frame: median and 95th percentile on the clock, mean over all CPU cores."""

    p50_ms: float
    p95_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class BenchResult:
    """The outcome: ``device`` with its number format, the cost of each stage and of all, ``fps`` frames per second of a
    real run, peak memory in MB."""

    clip: Path
    device: str
    width: int
    height: int
    frames: int
    stages: Mapping[str, StageCost]
    total: StageCost
    fps: float
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None
    environment: Environment


class Stopwatch:
    """Shares out time among stages that may lie inside each other; every moment belongs to the innermost one."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._open: list[str] = []
        self._mark = (0.0, 0.0)
        self._lap: dict[str, tuple[float, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """While the body runs, time counts for ``name``."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time to get each counts for ``name``."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def lap(self) -> Lap:
        """What came together since the last lap."""
        self._charge()
        lap, self._lap = self._lap, {}
        return lap

    def _charge(self) -> None:
        self._synchronize()  # a GPU works on after the call returns
        now = (time.perf_counter(), time.process_time())
        if self._open:
            before = self._lap.get(self._open[-1], (0.0, 0.0))
            self._lap[self._open[-1]] = (before[0] + now[0] - self._mark[0], before[1] + now[1] - self._mark[1])
        self._mark = now


def measure(options: BenchOptions, *, progress: Report = silent) -> BenchResult:
    """Dress and encode the first frames of a clip; the file is thrown away.

    Raises:
        BadInputError: the clip has no frames left after the warm-up.
        VtryonError: as :func:`vtryon.job.run`.
    """
    person = options.person or example("person.mp4")
    progress(Progress("loading"))
    garment = load_garment(options.garment or example("tshirt_red.jpg"))
    device = choose(options.device)
    synchronize, gpu_peak = _gpu(device.device.type)
    whole = options.warm_up + options.frames
    laps: list[Lap] = []
    watch = Stopwatch(synchronize)
    for _ in _frames(person, garment, options, watch):
        laps.append(watch.lap())
        progress(Progress("measuring", len(laps), 2 * whole))
    measured = laps[options.warm_up :]
    if not measured:
        raise BadInputError(f"{person}: only {len(laps)} frames; give a longer clip or a smaller --warm-up")
    moments = [time.perf_counter()]
    for _ in _frames(person, garment, options, None):
        synchronize()
        moments.append(time.perf_counter())
        progress(Progress("measuring", whole + len(moments) - 1, 2 * whole))
    fps = len(measured) / (moments[-1] - moments[options.warm_up])
    return _result(probe(person), str(device), measured, round(fps, 2), gpu_peak())


def _frames(person: Path, garment: Garment, options: BenchOptions, watch: Stopwatch | None) -> Iterator[None]:
    """Dress and encode so many frames, one at each step, timed by ``watch``; None: as a real run does."""
    stage = watch.stage if watch else (lambda _name: nullcontext())
    chosen = TryOnOptions(device=options.device)
    with VideoReader(person) as reader, tempfile.TemporaryDirectory(prefix="vtryon-") as folder:
        info = reader.info
        frames = watch.timed("decode", reader) if watch else reader
        with VideoWriter(
            Path(folder, "out.mp4"), width=info.width, height=info.height, time_base=info.time_base, source=info
        ) as writer:
            if watch:
                watch.lap()
            with closing(try_on(frames, garment, options=chosen, on_stage=stage if watch else None)) as shown:
                whole = islice(shown, options.warm_up + options.frames)
                for one in watch.timed("other", whole) if watch else whole:
                    with stage("encode"):
                        writer.write(one.frame.rgb, one.frame.pts)
                    yield


def table(result: BenchResult) -> str:
    """The result as text."""
    lines = [f"{result.clip.name}, {result.width} x {result.height}, {result.frames} frames, ms per frame:", ""]
    lines.append(f"{'stage':<10}{'median':>9}{'p95':>9}{'CPU':>9}")
    for name, cost in {**result.stages, "all": result.total}.items():
        lines.append(f"{name:<10}{cost.p50_ms:9.1f}{cost.p95_ms:9.1f}{cost.cpu_ms:9.1f}")
    peaks = {"peak memory": result.peak_memory_mb, "on the GPU": result.peak_gpu_memory_mb}
    memory = [f"{name} {peak:.0f} MB" for name, peak in peaks.items() if peak is not None]
    lines += ["", "; ".join([f"{result.fps:.1f} frames per second", *memory])]
    here = result.environment
    lines.append(
        f"on {result.device}; {here.cpu}, {here.cores} cores, {here.cpu_capability}; torch {here.packages['torch']}"
    )
    return "\n".join(lines)


def _result(info: VideoInfo, device: str, laps: Sequence[Lap], fps: float, gpu_peak: float | None) -> BenchResult:
    stages = sorted({name for lap in laps for name in lap}, key=_order)
    total = _cost([(sum(t for t, _ in lap.values()), sum(c for _, c in lap.values())) for lap in laps])
    return BenchResult(
        clip=info.path,
        device=device,
        width=info.width,
        height=info.height,
        frames=len(laps),
        stages={name: _cost([lap.get(name, (0.0, 0.0)) for lap in laps]) for name in stages},
        total=total,
        fps=fps,
        peak_memory_mb=_peak_memory(),
        peak_gpu_memory_mb=gpu_peak,
        environment=describe(),
    )


def _order(name: str) -> int:
    """Stages in the order in which a frame meets them; those unknown here come last."""
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _cost(times: Sequence[tuple[float, float]]) -> StageCost:
    clock = sorted(t for t, _ in times)
    p95 = clock[min(len(clock) - 1, round(0.95 * (len(clock) - 1)))]
    values = (statistics.median(clock), p95, statistics.fmean(c for _, c in times))
    return StageCost(*(round(1000 * value, 3) for value in values))


def _gpu(kind: str) -> tuple[Callable[[], None], Callable[[], float | None]]:
    """How to wait for the GPU, and its peak memory in MB; nothing to wait for where there is none."""
    import torch

    if kind != "cuda":
        return lambda: None, lambda: None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.synchronize, lambda: round(torch.cuda.max_memory_allocated() / 1e6, 1)


def _peak_memory() -> float | None:
    """Highest resident memory of this process in MB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes there, kB elsewhere
