"""The command line as a process: start-up, signals, full disks, pipes, terminals."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import media

FAKES = Path(__file__).with_name("fakes.py")
"""The command line with stand-ins for the heavy rooms."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds in/person.mp4 and in/shirt.png, and an empty out/."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    media.make(tmp_path / "in/person.mp4", media.Spec(count=40, sound=media.Sound(seconds=1.3)))
    (tmp_path / "in/shirt.png").write_bytes(b"the stand-in does not look")
    return tmp_path


RUN = ("run", "../in/person.mp4", "../in/shirt.png")


def start(folder: Path, *words: str, delay: float = 0.0, **changes: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "VTRYON_FAKE_DELAY": str(delay), "PYTHONWARNINGS": "error", **changes.pop("env", {})}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **changes}
    return subprocess.Popen(
        [sys.executable, str(FAKES), *words], cwd=folder / "out", env=environment, text=True, **streams
    )


def finish(folder: Path, *words: str, **changes: Any) -> tuple[int, str, str]:
    with start(folder, *words, **changes) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'torchvision', 'cv2', 'mediapipe', 'av', 'numpy', 'PIL')\n"
        "atexit.register(lambda: print('LOADED', [m for m in heavy if m in sys.modules]))\n"
        "from vtryon.cli import main\n"
        "main()"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "LOADED []" in done.stdout
    assert "benchmark" in done.stdout
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # the clock would count other work
    assert seconds < 0.5


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, vtryon; vtryon.VtryonError; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_module_and_console_script_are_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "vtryon", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vtryon ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_half_way_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    stop_at = random.randrange(1, 30)
    with start(folder, *RUN, "-o", "out.mp4", "--save-person", "kept.vtp", delay=0.02) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == f"frame {stop_at}":
                break
        assert any(name.startswith(".out.") for name in left(folder))
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == f"vtryon: stopped by {number.name}, nothing was written\n"
    assert left(folder) == []


def test_a_signal_keeps_the_old_output(folder: Path) -> None:
    (folder / "out/out.mp4").write_bytes(b"from before")
    with start(folder, *RUN, "-o", "out.mp4", "-y", delay=0.05) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert left(folder) == ["out.mp4"]
    assert (folder / "out/out.mp4").read_bytes() == b"from before"


def test_nohup_is_respected(folder: Path) -> None:
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with start(folder, *RUN, "-o", "out.mp4", delay=0.02, **ignore) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert left(folder) == ["out.mp4"]


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with EFBIG, as it does with ENOSPC
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_no_room_for_the_output(folder: Path) -> None:
    code, out, err = finish(
        folder, *RUN, "-o", "out.mp4", "--crf", "0", "--pix-fmt", "yuv444p", preexec_fn=lambda: _limit_files(3000)
    )
    assert (code, out) == (74, "")
    assert re.fullmatch(r"vtryon: error: .*out\.mp4: .*\n", err)
    assert left(folder) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full on this system")
def test_devices_are_not_replaced(folder: Path) -> None:
    code, _, err = finish(folder, *RUN, "-o", "/dev/full", "-y")
    assert code in (2, 73)
    assert err.startswith("vtryon: error: /dev/full")
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_read_only_folder(folder: Path) -> None:
    (folder / "out").chmod(0o555)
    code, _, err = finish(folder, *RUN, "-o", "out.mp4")
    (folder / "out").chmod(0o755)
    assert code == 73
    assert "not writable" in err
    assert left(folder) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc on this system")
def test_folder_that_takes_no_files(folder: Path) -> None:
    code, _, err = finish(folder, *RUN, "-o", "/proc/out.mp4")
    assert code == 73
    assert re.fullmatch(r"vtryon: error: /proc/out\.mp4: .*\n", err)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_video(folder: Path) -> None:
    (folder / "in/person.mp4").chmod(0)
    code, _, err = finish(folder, *RUN)
    assert code == 66
    assert "person.mp4" in err


@pytest.mark.parametrize("words", [(*RUN, "--json"), ("probe", "../in/person.mp4"), ("run", "--help")])
def test_a_reader_that_goes_away_is_no_news(folder: Path, words: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(folder, *words, stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode in (0, 1)


def test_errors_survive_a_closed_stderr(folder: Path) -> None:
    with start(folder, "run", "nobody.mp4", "../in/shirt.png", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.wait(timeout=60)
    assert process.returncode == 66


@pytest.mark.parametrize("colour", [True, False])
def test_progress_is_a_bar_on_a_terminal(folder: Path, colour: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "100"} | ({} if colour else {"NO_COLOR": "1"})
    os.environ.pop("NO_COLOR", None)
    with start(folder, *RUN, "-o", "out.mp4", delay=0.02, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other side of the terminal is closed
                break
            shown += part
            if not part:
                break
        process.wait(timeout=60)
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0
    assert re.search(r"dressing .*\d+/40 frames.*fps", text)
    assert bool(re.search(r"\x1b\[\d*m", text.replace("\x1b[0m", ""))) is colour


def test_cut_short_input_is_dressed_as_far_as_it_goes(folder: Path) -> None:
    whole = folder / "in/person.mp4"
    media.cut(whole, folder / "in/cut.mp4", whole.stat().st_size * 2 // 3)
    code, out, err = finish(folder, "run", "../in/cut.mp4", "../in/shirt.png", "-o", "out.mp4")
    assert code == 0
    assert "vtryon: warning: ../in/cut.mp4:" in err
    assert re.search(r"\d+ frames in .* warnings?\n", out)
    assert left(folder) == ["out.mp4"]


@pytest.mark.parametrize("size", [0, 1, 300])
def test_input_that_is_no_video_any_more(folder: Path, size: int) -> None:
    media.cut(folder / "in/person.mp4", folder / "in/cut.mp4", size)
    code, out, err = finish(folder, "run", "../in/cut.mp4", "../in/shirt.png", "-o", "out.mp4")
    assert (code, out, err.count("\n")) == (65, "", 1)
    assert left(folder) == []
