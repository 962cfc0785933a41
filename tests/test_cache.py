"""What was worked out once is used again, and nothing that is not what it should be."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import fakes
import media
import vtryon.reuse
from vtryon.cache import DEFAULT_LIMIT, Cache, parse_size
from vtryon.cli.app import app
from vtryon.errors import BadInputError, MissingInputError, UsageError
from vtryon.garment.store import read_garment, save_garment
from vtryon.job import RunOptions, run
from vtryon.outputs import IfExists, beside
from vtryon.video import EncodeOptions, VideoReader

KEY = "ab" + "0" * 62


def write(text: str) -> Any:
    def make(path: Path) -> None:
        with beside(path) as temporary:
            temporary.write_text(text)

    return make


def read(path: Path) -> str:
    text = path.read_text()
    if not text.startswith("good"):
        raise BadInputError(f"{path}: not good")
    return text


def never(_: Path) -> None:
    raise AssertionError("made again")


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert not cache.holds("people", KEY)
    assert cache.get("people", KEY, make=write("good 1"), read=read) == "good 1"
    assert cache.holds("people", KEY)
    assert cache.get("people", KEY, make=never, read=read) == "good 1"
    assert cache.get("garments", KEY, make=write("good 2"), read=read) == "good 2"  # kinds do not mix


def test_a_bad_entry_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path)
    cache.get("people", KEY, make=write("good"), read=read)
    (entry,) = (tmp_path / "people").glob("*/*")
    entry.write_text("bad")
    with caplog.at_level(logging.DEBUG, logger="vtryon"):
        assert cache.get("people", KEY, make=write("good again"), read=read) == "good again"
    assert any("made anew" in record.getMessage() for record in caplog.records)


def test_what_fails_to_be_made_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def breaks(_: Path) -> None:
        raise BadInputError("no video")

    with pytest.raises(BadInputError, match="no video"):
        cache.get("people", KEY, make=breaks, read=read)
    assert not cache.holds("people", KEY)


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    keys = [f"{n:02d}{'0' * 62}" for n in range(4)]
    for age, key in zip((300, 200, 100), keys, strict=False):
        cache.get("people", key, make=write("good" + "." * 96), read=read)
        entry = tmp_path / "people" / key[:2] / key
        os.utime(entry, (time.time() - age, time.time() - age))
    cache.get("people", keys[0], make=never, read=read)  # used: now it is the youngest
    Cache(tmp_path, limit=250).get("people", keys[3], make=write("good" + "." * 96), read=read)
    assert [cache.holds("people", key) for key in keys] == [True, False, False, True]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder = tmp_path / "people" / KEY[:2]
    folder.mkdir(parents=True)
    (folder / f".{KEY}.half").write_text("good")
    cache.get("people", KEY, make=write("good"), read=read)
    assert [path.name for path in folder.iterdir()] == [KEY]


def test_of_several_at_once_one_makes_it(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        time.sleep(0.2)
        write("good")(path)

    def get(_: int) -> str:
        return Cache(tmp_path).get("people", KEY, make=make, read=read)  # a lock of its own, as in another process

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(get, range(4))) == ["good"] * 4
    assert len(made) == 1


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("2T", 2 * 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "5 XB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


def test_the_environment_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VTRYON_CACHE", raising=False)
    monkeypatch.delenv("VTRYON_CACHE_SIZE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache.of_user().limit == DEFAULT_LIMIT
    assert "vtryon" in Cache.of_user().folder.name
    monkeypatch.setenv("VTRYON_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("VTRYON_CACHE_SIZE", "3GB")
    assert Cache.of_user() == Cache(tmp_path / "here", 3 * 10**9)


def test_a_garment_comes_back_exactly(tmp_path: Path) -> None:
    garment = fakes.garment("odd sleeves in shirt.jpg")
    save_garment(tmp_path / "g", garment, key="k", name="shirt.jpg")
    back = read_garment(tmp_path / "g", key="k", name="other.png")
    for name in ("rgb", "alpha", "parts", "cloth"):
        assert np.array_equal(getattr(garment, name), getattr(back, name))
        assert getattr(garment, name).dtype == getattr(back, name).dtype
    assert all(np.array_equal(point, back.keypoints[name]) for name, point in garment.keypoints.items())
    assert (back.kind, back.warnings) == (garment.kind, ("odd sleeves in other.png",))


def test_a_garment_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g"
    with pytest.raises(MissingInputError):
        read_garment(path, key="k", name="n")
    save_garment(path, fakes.garment(), key="k", name="n")
    with pytest.raises(BadInputError, match="another picture"):
        read_garment(path, key="other", name="n")
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 2], whole.replace(b"garment.json", b"garment.jsun")):
        path.write_bytes(data)
        with pytest.raises(BadInputError, match="not a whole"):
            read_garment(path, key="k", name="n")
    at = len(whole) // 3
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(BadInputError):
        read_garment(path, key="k", name="n")


class Job:
    """Runs of one clip with stand-ins, and how often something was worked out for them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.clip = media.make(folder / "person.mkv", media.Spec(count=10))
        self.shirt = folder / "shirt.png"
        self.shirt.write_bytes(b"the stand-in does not look")
        self.cache = Cache(folder / "cache")
        self.analysed = self.cut_out = 0
        monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)
        monkeypatch.setattr("vtryon.reuse.default_labeller", lambda _: None)
        monkeypatch.setattr("vtryon.reuse.analyse", self._analyse)
        monkeypatch.setattr("vtryon.garment.load_garment", self._load)

    def _analyse(self, frames: Any, **_: Any) -> Any:
        self.analysed += 1
        return fakes.analyse(frames)

    def _load(self, path: Path) -> Any:
        self.cut_out += 1
        return fakes.load_garment(path)

    def run(self, **changes: Any) -> tuple[int, int]:
        """Dress once more; how often the person was analysed and a garment cut out up to now."""
        out = self.folder / "out.mkv"
        options = {"encode": EncodeOptions(lossless=True), "cache": self.cache, **changes}
        run(RunOptions(self.clip, self.shirt, out, if_exists=IfExists.REPLACE, **options))
        return self.analysed, self.cut_out


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(tmp_path, monkeypatch)


def pictures(path: Path) -> list[Any]:
    with VideoReader(path) as reader:
        return [frame.rgb for frame in reader]


def test_the_second_run_works_nothing_out_again(job: Job) -> None:
    assert job.run(cache=None) == (0, 1)  # without a cache nothing is taken or kept
    assert not job.cache.folder.exists()
    assert job.run() == (1, 2)
    first = pictures(job.folder / "out.mkv")
    assert job.run() == (1, 2)
    again = pictures(job.folder / "out.mkv")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_names_do_not_matter_contents_do(job: Job) -> None:
    job.run()
    job.clip = job.clip.rename(job.folder / "renamed.mkv")
    job.shirt = job.shirt.rename(job.folder / "renamed.png")
    assert job.run() == (1, 1)
    job.shirt.write_bytes(b"another picture")
    assert job.run() == (1, 2)
    media.make(job.clip, media.Spec(count=11))
    assert job.run() == (2, 2)


def test_options_and_networks_count(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    assert job.run(fit="loose", length=1.2, compare=True) == (1, 1)  # these do not change what was found out
    assert job.run(end=0.2) == (2, 1)
    listing = vtryon.reuse.weights.listing()
    monkeypatch.setattr("vtryon.reuse.weights.listing", lambda: {**listing, "parser": "other"})
    assert job.run() == (3, 1)
    monkeypatch.setattr("vtryon.reuse.weights.listing", lambda: {**listing, "garment": "other"})
    assert job.run() == (3, 2)


def test_the_back_is_kept_too(job: Job) -> None:
    back = job.folder / "back.png"
    back.write_bytes(b"the back")
    assert job.run(back=back) == (1, 2)
    assert job.run(back=back) == (1, 2)


@pytest.mark.parametrize("how", ["cut", "flip", "version"])
def test_damaged_and_old_entries_are_never_trusted(
    job: Job, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as older:
        if how == "version":
            older.setattr("vtryon.person.store.VERSION", 0)
            older.setattr("vtryon.garment.store.VERSION", 0)
        job.run()
    for kind in ("people", "garments"):
        (entry,) = (job.cache.folder / kind).glob("*/*")
        data = entry.read_bytes()
        if how == "cut":
            entry.write_bytes(data[:-100])
        elif how == "flip":  # in the middle of the first record, which only its checksum tells
            entry.write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    with caplog.at_level(logging.DEBUG, logger="vtryon"):
        assert job.run() == (2, 2)
    assert sum("made anew" in record.getMessage() for record in caplog.records) == 2
    assert job.run() == (2, 2)


def test_a_video_without_anybody_is_found_out_once(job: Job) -> None:
    dark = np.zeros((64, 96, 3), np.uint8)
    media.make(job.clip, media.Spec(pictures=[dark] * 5))
    for _ in range(2):
        with pytest.raises(BadInputError, match=r"no person found in any of 5 frames"):
            job.run()
    assert job.analysed == 1


def test_a_cache_that_cannot_be_written_is_no_failure(job: Job) -> None:
    job.cache.folder.write_text("a file is in the way")
    assert job.run() == (0, 1)
    assert len(pictures(job.folder / "out.mkv")) == 10


def test_the_analysis_of_another_machine_is_taken_over(job: Job) -> None:
    options = RunOptions(job.clip, job.shirt, job.folder / "out.mkv")
    key, data = vtryon.reuse.packed_people(job.cache, options, lambda _: None)
    assert job.analysed == 1
    job.cache = Cache(job.folder / "other")
    vtryon.reuse.unpack_people(job.cache, key, data)
    assert job.run() == (1, 1)


def test_cache_info_and_clear(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    monkeypatch.setenv("VTRYON_CACHE", str(job.cache.folder))
    monkeypatch.chdir(job.folder)
    words = ["run", job.clip.name, job.shirt.name, "-o", "cli.mkv", "-q", "--cache"]
    assert CliRunner().invoke(app, words).exit_code == 0
    told = json.loads(CliRunner().invoke(app, ["cache", "info", "--json"]).stdout)
    assert told["folder"] == str(job.cache.folder)
    assert [told["contents"][kind]["entries"] for kind in ("people", "garments")] == [1, 1]
    size = sum(part["bytes"] for part in told["contents"].values())
    assert "people" in CliRunner().invoke(app, ["cache", "info"]).stdout
    freed = json.loads(CliRunner().invoke(app, ["cache", "clear", "--json"]).stdout)
    assert freed["freed"] == size > 0
    told = json.loads(CliRunner().invoke(app, ["cache", "info", "--json"]).stdout)
    assert all(part["entries"] == 0 for part in told["contents"].values())
    assert job.run() == (2, 2)
