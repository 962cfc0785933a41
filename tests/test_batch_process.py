"""A batch as users have it: a process with workers, which are killed, run out of disk, or go on after a crash."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import media

FAKES = Path(__file__).with_name("fakes.py")

# FFV1, because x264 does not give the same bits each time for pictures as flat as the stand-ins' (its macroblock tree)
ALL = (
    *("batch", "--persons", "p/*.mp4", "--garments", "g/*.jpg", "--out-dir", "out", "--jobs", "2"),
    *("--name", "{person}_{garment}.mkv", "--codec", "ffv1"),
)

FRAMES = 12

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    """Two persons, p/a.mp4 and p/b.mp4, and three garments, g/x.jpg to g/z.jpg."""
    for name in ("p", "g"):
        (folder / name).mkdir()
    for n, name in enumerate("ab"):
        media.make(folder / f"p/{name}.mp4", media.Spec(count=FRAMES + n, sound=media.Sound(seconds=0.4)))
    for name in "xyz":
        (folder / f"g/{name}.jpg").write_bytes(name.encode())
    return folder


def start(folder: Path, *words: str, delay: float = 0.0, **changes: Any) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "VTRYON_FAKE_DELAY": str(delay),
        "VTRYON_FAKE_COUNT": str(folder / "count"),
        "VTRYON_CACHE": str(folder / "cache"),
    }
    return subprocess.Popen(
        [sys.executable, str(FAKES), *words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **changes,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    with process:
        _, err = process.communicate(timeout=120)
        return process.returncode, err


def wait_for(process: subprocess.Popen[str], *ready: Path) -> None:
    """Until all of these files are there."""
    until = time.monotonic() + 90
    while not all(path.exists() for path in ready):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def report(folder: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "out/batch.report.jsonl").read_text().splitlines()]
    return {Path(row["output"]).stem: row for row in rows}


def packets(folder: Path) -> dict[str, Any]:
    return {path.name: media.packets(path, "video") for path in sorted((folder / "out").glob("*.mkv"))}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch that nothing disturbed."""
    folder = fill(tmp_path_factory.mktemp("whole"))
    code, err = finish(start(folder, *ALL))
    assert code == 0, err
    return folder


def test_two_workers_share_what_is_found_out(whole: Path) -> None:
    assert (whole / "count").read_text() == "analysed\n" * 2  # one for each person, six rows
    told = report(whole)
    assert {row["status"] for row in told.values()} == {"done"}
    assert [told[name]["frames"] for name in ("a_x", "b_z")] == [FRAMES, FRAMES + 1]
    assert names(whole) == sorted(
        ["batch.report.jsonl", *(f"{name}.mkv{end}" for name in told for end in ("", ".vtryon.json"))]
    )


def test_a_killed_batch_goes_on_where_it_stopped(folder: Path, whole: Path) -> None:
    """SIGKILL of the whole process group, which cleans nothing up, at moments nobody chose."""
    moments = random.Random(8)
    first = folder / "out/a_x.mkv"
    done: set[str] = set()
    for attempt in range(3):
        process = start(folder, *ALL, delay=0.05)
        if attempt == 0:
            wait_for(process, first)
        else:
            wait_for(process, folder / "out/batch.report.jsonl")
        time.sleep(moments.uniform(0, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        finish(process)
        now = {path.name for path in (folder / "out").glob("*.mkv")}
        assert done <= now
        done = now
    code, err = finish(start(folder, *ALL))
    assert code == 0, err
    told = report(folder)
    assert {name for name, row in told.items() if row["status"] == "skipped"} == {Path(name).stem for name in done}
    assert names(folder) == names(whole)
    assert packets(folder) == packets(whole)


def test_a_lost_worker_costs_no_row(folder: Path, whole: Path) -> None:
    process = start(folder, *ALL, delay=0.05)
    wait_for(process, folder / "out/a_x.mkv")
    workers(process)[0].kill()
    code, err = finish(process)
    assert code == 0, err
    assert {row["status"] for row in report(folder).values()} == {"done"}
    assert names(folder) == names(whole)
    assert packets(folder) == packets(whole)


def test_a_stopped_batch_keeps_what_is_done(folder: Path) -> None:
    process = start(folder, *ALL, delay=0.05)
    wait_for(process, folder / "out/a_x.mkv")
    process.send_signal(signal.SIGINT)
    code, err = finish(process)
    assert code == 130
    assert err.splitlines()[-1] == (
        "vtryon: stopped by SIGINT, finished outputs stay; the same command goes on from there"
    )
    told = report(folder)
    assert told["a_x"]["status"] == "done"
    assert told["b_z"]["status"] == "stopped"
    assert len(told) == 6
    done = [f"{name}.mkv{end}" for name, row in told.items() if row["status"] == "done" for end in ("", ".vtryon.json")]
    assert names(folder) == sorted(["batch.report.jsonl", *done])


def test_workers_do_not_outlive_a_killed_parent(folder: Path) -> None:
    process = start(folder, *ALL, delay=0.2)
    wait_for(process, folder / "out/batch.report.jsonl", folder / "count")
    found = workers(process)
    assert found
    process.kill()
    finish(process)
    _, alive = psutil.wait_procs(found, timeout=30)
    assert alive == []
    assert not list((folder / "out").glob(".vtryon-batch-*/*.mkv"))


def _limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with EFBIG, as it does with ENOSPC
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_no_room_for_one_row(folder: Path) -> None:
    noise = [media.detail(width=320, height=240, seed=seed) for seed in range(12)]
    media.make(folder / "p/c.mp4", media.Spec(pictures=noise, options={"crf": "4"}))
    (folder / "cache").mkdir()
    lines = ["person,garment,output,crf"]
    lines += [f"p/{name}.mp4,g/x.jpg,out/{name}.mp4,{crf}" for name, crf in (("a", ""), ("c", "0"), ("b", ""))]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    words = ("batch", "list.csv", "--report", "out/batch.report.jsonl", "--jobs", "1")
    code, err = finish(start(folder, *words, preexec_fn=_limit_files))
    assert code == 3, err
    told = report(folder)
    assert {name: (row["status"], row["code"]) for name, row in told.items()} == {
        "a": ("done", 0),
        "b": ("done", 0),
        "c": ("failed", 74),
    }
    assert told["c"]["error"].startswith("out/c.mp4: ")
    assert [name for name in names(folder) if name.startswith(("c", "."))] == []
    for name in ("a", "b"):
        (folder / f"out/{name}.mp4").unlink()
    code, err = finish(start(folder, *words, "--fail-fast", preexec_fn=_limit_files))
    assert code == 3
    assert {name: row["status"] for name, row in report(folder).items()} == {
        "a": "done",
        "b": "stopped",
        "c": "failed",
    }
