"""Frames in, dressed frames out: lazily, in order, the same with a saved analysis, and gone when the caller leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import scenes
from scenes import BLUE, GREEN, RED
from vtryon.person import analyse, load_people, save_people
from vtryon.person.regions import label_regions
from vtryon.pipeline import TryOnFrame, TryOnOptions, try_on
from vtryon.types import Array, Frame, Part, Person
from vtryon.video import VideoReader

SHIRT = scenes.garment(BLUE)
OPTIONS = TryOnOptions(warp="anchored", device="cpu")


def clip(count: int) -> tuple[list[Frame], list[Person | None]]:
    rgb, person, _ = scenes.scene()
    return [scenes.frame(scenes.with_noise(rgb, i), i) for i in range(count)], [person] * count


def dress(frames: list[Frame], people: list[Person | None]) -> list[TryOnFrame]:
    return list(try_on(frames, SHIRT, options=OPTIONS, people=people))


def test_every_frame_comes_out_once_in_order_with_its_time() -> None:
    frames, people = clip(3)
    frames[2] = replace(frames[2], pts=100)
    shown = dress(frames, people)
    assert [s.source for s in shown] == frames
    for frame, result, person in zip(frames, shown, people, strict=True):
        assert (result.frame.pts, result.frame.time_base, result.frame.index) == (
            frame.pts,
            frame.time_base,
            frame.index,
        )
        assert result.person is person
        assert scenes.near(frame.rgb, RED).sum() > 5000
        assert scenes.near(result.frame.rgb, RED).sum() < 100


def test_without_a_garment_it_is_the_identity() -> None:
    frames, _ = clip(2)
    for frame, shown in zip(frames, try_on(frames, None), strict=True):
        assert shown.frame is frame
        assert shown.warped is None


def test_frames_without_a_person_pass_through() -> None:
    frames, people = clip(3)
    shown = dress(frames, [people[0], None, people[2]])
    assert shown[1].person is None
    assert np.array_equal(shown[1].frame.rgb, frames[1].rgb)
    assert shown[1].warped is None
    assert not np.array_equal(shown[2].frame.rgb, frames[2].rgb)


def test_a_new_shot_starts_afresh() -> None:
    frames, people = clip(4)
    later = [None if p is None else replace(p, shot=1) for p in people[2:]]
    dark = [replace(f, rgb=f.rgb // 2) for f in frames[:2]]
    after = dress(dark + frames[2:], people[:2] + later)[2:]
    alone = dress(frames[2:], later)
    for a, b in zip(after, alone, strict=True):
        assert np.array_equal(a.frame.rgb, b.frame.rgb)
    going_on = dress(dark + frames[2:], people)[2:]
    assert not np.array_equal(going_on[0].frame.rgb, alone[0].frame.rgb)


def test_a_gap_without_a_person_starts_afresh_too() -> None:
    frames, people = clip(3)
    dark = replace(frames[0], rgb=frames[0].rgb // 2)
    after = dress([dark, *frames[1:]], [people[0], None, people[2]])[2]
    assert np.array_equal(after.frame.rgb, dress(frames[2:], people[2:])[0].frame.rgb)


def test_the_warped_garment_alone() -> None:
    frames, people = clip(1)
    warped = dress(frames, people)[0].warped
    assert warped is not None
    rgb, alpha = warped
    assert rgb.shape == frames[0].rgb.shape
    assert rgb.dtype == np.uint8
    assert alpha.shape == frames[0].rgb.shape[:2]
    assert 0.05 < (alpha > 0.5).mean() < 0.5
    assert scenes.near(rgb, BLUE, 12)[alpha > 0.9].mean() > 0.95, "as in its picture, without the scene's light"


def test_the_fit_alone_is_told_without_composing() -> None:
    frames, people = clip(2)
    steps: list[str] = []

    @contextmanager
    def noted(name: str) -> Iterator[None]:
        steps.append(name)
        yield

    shown = list(try_on(frames, SHIRT, options=OPTIONS, people=people, on_stage=noted, compose=False))
    assert steps == ["warp", "warp"]
    assert all(one.frame is frame for one, frame in zip(shown, frames, strict=True))
    for one, whole in zip(shown, dress(frames, people), strict=True):
        assert one.warp is not None
        assert whole.warp is not None
        assert np.array_equal(one.warp[Part.TORSO].points, whole.warp[Part.TORSO].points)
        assert one.warped is not None


def test_the_back_is_the_picture_of_the_back() -> None:
    rgb, person, _ = scenes.scene(yaw=180.0)
    frames: list[Frame] = [scenes.frame(rgb)]
    (shown,) = try_on(frames, SHIRT, back=scenes.garment(GREEN), options=OPTIONS, people=[person])
    out = shown.frame.rgb
    green = (out[..., 1] > out[..., 0] + 30) & (out[..., 1] > out[..., 2] + 30)
    assert green.sum() > 8000


def test_options_reach_the_garment() -> None:
    frames, people = clip(1)

    def area(options: TryOnOptions) -> float:
        (shown,) = try_on(frames, SHIRT, options=options, people=people)
        assert shown.warped is not None
        return float(shown.warped[1].sum())

    usual = area(OPTIONS)
    assert area(replace(OPTIONS, fit="loose")) > 1.02 * usual
    assert area(replace(OPTIONS, length=0.7)) < 0.9 * usual


@pytest.mark.parametrize("change", [{"fit": "tight"}, {"length": 0.1}, {"length": 5.0}, {"warp": "magic"}])
def test_bad_options_are_refused(change: dict[str, str | float]) -> None:
    frames, people = clip(1)
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be"):
        list(try_on(frames, SHIRT, options=TryOnOptions(device="cpu", **change), people=people))  # type: ignore[arg-type]


def test_an_analysis_of_another_length_is_refused() -> None:
    frames, people = clip(3)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        dress(frames, people[:2])


def test_steps_are_timed() -> None:
    seen: Counter[str] = Counter()

    def stage(name: str) -> AbstractContextManager[None]:
        seen[name] += 1
        return nullcontext()

    frames, people = clip(2)
    list(try_on(frames, SHIRT, options=OPTIONS, people=people, on_stage=stage))
    assert seen == {"warp": 2, "render": 2}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch may use, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_steps_side_by_side_change_nothing(count: int, threads: Callable[[int], None]) -> None:
    threads(count)
    frames, people = clip(4)
    readers: set[int] = set()

    def read() -> Iterator[Frame]:
        for frame in frames:
            readers.add(threading.get_ident())
            yield frame

    shown = list(try_on(read(), SHIRT, options=OPTIONS, people=people))
    assert (threading.get_ident() in readers) == (count == 1)
    assert torch.get_num_threads() == count, "as before"
    for one, timed in zip(shown, try_on(frames, SHIRT, options=OPTIONS, people=people, on_stage=nothing), strict=True):
        assert np.array_equal(one.frame.rgb, timed.frame.rgb)


def nothing(_name: str) -> AbstractContextManager[None]:
    return nullcontext()


def test_left_early_nothing_goes_on(threads: Callable[[int], None]) -> None:
    threads(2)
    frames, people = clip(12)
    given: list[int] = []

    def read() -> Iterator[Frame]:
        try:
            for frame in frames:
                given.append(frame.index)
                yield frame
        finally:
            given.append(-1)

    before = threading.active_count()
    shown = try_on(read(), SHIRT, options=OPTIONS, people=people)
    next(shown)
    shown.close()
    assert threading.active_count() == before
    assert given[-1] == -1
    assert len(given) < 10


# -- with the analysis, on our own clip --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk(examples: Path) -> list[Frame]:
    with VideoReader(examples / "person.mp4") as frames:
        return list(islice(frames, 18))


class Counting:
    """Copies of frames, counted as they are asked for; knows how many of them are still held by somebody."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._given: list[weakref.ref[Array]] = []

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            copy = replace(frame, rgb=frame.rgb.copy())
            self._given.append(weakref.ref(copy.rgb))
            yield copy

    @property
    def read(self) -> int:
        return len(self._given)

    @property
    def held(self) -> int:
        return sum(r() is not None for r in self._given)


@pytest.mark.parametrize("count", [1, 2])
def test_it_reads_little_ahead_and_keeps_little(walk: list[Frame], count: int, threads: Callable[[int], None]) -> None:
    threads(count)
    frames, lookahead, beside = Counting(walk), 3, 0 if count == 1 else 5
    options = replace(OPTIONS, lookahead=lookahead)
    results = try_on(frames, SHIRT, options=options, labeller=label_regions)
    assert frames.read == 0, "nothing is read before something is asked for"
    held = []
    for n, shown in enumerate(results, start=1):
        assert frames.read <= n + lookahead + 4 + beside
        assert shown.source.index == n - 1
        del shown
        held.append(frames.held)
    assert n == len(walk)
    assert max(held) <= lookahead + 6 + beside
    assert held[-3] <= held[8] + 1 + beside, "no more the longer it runs"


def test_a_saved_analysis_gives_the_same_frames(walk: list[Frame], tmp_path: Path) -> None:
    frames = walk[:6]
    people = [person for _, person in analyse(frames, labeller=label_regions)]
    assert all(people)
    path = tmp_path / "clip.people"
    save_people(path, people, key="k")
    runs = [
        [s.frame.rgb for s in try_on(frames, SHIRT, options=OPTIONS, **given)]  # type: ignore[arg-type]
        for given in ({"labeller": label_regions}, {"people": people}, {"people": load_people(path, key="k")})
    ]
    for direct, same, saved, frame in zip(*runs, frames, strict=True):
        assert np.array_equal(direct, same)
        away = np.abs(direct.astype(int) - saved).max(-1)
        assert (away > 3).mean() < 0.002, "a saved matte has 256 steps"
        assert (np.abs(direct.astype(int) - frame.rgb).max(-1) > 20).mean() > 0.05


_LEAVE_EARLY = """
import sys
from pathlib import Path
import vtryon
sys.path.insert(0, {tests!r})
import scenes

with vtryon.VideoReader(Path({clip!r})) as frames:
    for n, shown in enumerate(vtryon.try_on(frames, scenes.garment())):
        if n == 2:
            break
print("left", shown.person is not None)
{keep}
"""


@pytest.mark.parametrize("keep", ["", "results = vtryon.try_on(iter([shown.source]), scenes.garment()); next(results)"])
def test_a_program_that_leaves_the_loop_early_ends(examples: Path, keep: str) -> None:
    """A pose graph that is still open must not hang the interpreter's end."""
    code = _LEAVE_EARLY.format(tests=str(Path(__file__).parent), clip=str(examples / "person.mp4"), keep=keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "left True"
