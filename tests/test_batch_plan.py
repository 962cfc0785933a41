"""Lists, combinations and plans: what is refused before any work, and what is known to be done."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import fakes
import media
from vtryon.batch import places
from vtryon.batch.manifest import combinations, read_manifest
from vtryon.batch.record import SUFFIX
from vtryon.batch.rows import News, Task
from vtryon.batch.staging import PREFIX, staging, sweep
from vtryon.batch.work import work
from vtryon.cache import Cache
from vtryon.cli.app import app
from vtryon.errors import BadInputError, MissingInputError, UsageError
from vtryon.progress import silent

KNOWN = ("fit", "length", "end", "back", "no-audio")


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with p/a.mp4, p/b.mp4, g/x.jpg and g/y.jpg; stand-ins; rows are worked on in this process."""
    for name in ("p", "g"):
        (tmp_path / name).mkdir()
    for n, name in enumerate("ab"):
        media.make(tmp_path / f"p/{name}.mp4", media.Spec(count=6 + n))
    for name in "xy":
        (tmp_path / f"g/{name}.jpg").write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VTRYON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("vtryon.garment.load_garment", fakes.load_garment)
    monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)
    monkeypatch.setattr("vtryon.reuse.analyse", fakes.analyse)
    monkeypatch.setattr("vtryon.reuse.default_labeller", lambda _: None)
    monkeypatch.setattr("vtryon.batch.pool.run_here", here)


worked: list[str] = []
"""Outputs that the last batch worked on."""


def here(tasks: list[Task], tell: Callable[[News], None], *, cache: Cache, **_: Any) -> None:
    for task in tasks:
        worked.append(task.row.output)
        tell(News(task.index, outcome=work(task, cache, silent)))


ALL = ("--persons", "p/*.mp4", "--garments", "g/*.jpg", "--out-dir", "out")


def batch(*words: str) -> Result:
    worked.clear()
    return CliRunner().invoke(app, ["batch", *words])


def report(path: str = "out/batch.report.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def outputs() -> list[str]:
    return sorted(path.name for path in Path("out").glob("*.mp4"))


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_csv() -> None:
    path = write(
        "list.csv",
        "person, garment, output, fit, no-audio\n"
        "p/a.mp4, g/x.jpg, out/1.mp4, loose,\n"
        "\n"
        '"p/a.mp4","g/y.jpg","s3://bucket/o,2.mp4",,true\n',
    )
    first, second = read_manifest(path, KNOWN)
    assert (first.where, first.person, first.output) == ("list.csv:2", "p/a.mp4", "out/1.mp4")
    assert first.options == {"fit": "loose"}
    assert (second.where, second.output, second.options) == ("list.csv:4", "s3://bucket/o,2.mp4", {"no-audio": "true"})


def test_json_lines() -> None:
    path = write(
        "list.jsonl",
        '{"person": "a", "garment": "b", "output": "c", "length": 1.5, "no_audio": true, "fit": null}\n',
    )
    (line,) = read_manifest(path, KNOWN)
    assert line.options == {"length": "1.5", "no-audio": "true"}


def test_names_count_from_the_list() -> None:
    Path("sub").mkdir()
    path = write("sub/list.csv", "person,garment,output,back\n../p/a.mp4,/abs/x.jpg,out/1.mp4,b.jpg\n")
    (line,) = read_manifest(path, KNOWN)
    assert (line.person, line.garment, line.output) == ("sub/../p/a.mp4", "/abs/x.jpg", "sub/out/1.mp4")
    assert line.options == {"back": "sub/b.jpg"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "person,output\na,b\n", r"l\.csv:1: no column garment"),
        ("l.csv", "fit\nloose\n", r"l\.csv:1: no column person and none garment and none output"),
        ("l.csv", "person,garment,output,fit,fit\n", r"l\.csv:1: the column fit is there twice"),
        ("l.csv", "person,garment,output,colour\na,b,c,red\n", r"l\.csv:2: unknown option colour; these .*length"),
        ("l.csv", "person,garment,output\na,b,c\na,b\n", r"l\.csv:3: 2 cells, but there are 3 columns"),
        ("l.csv", "person,garment,output\na,,c\n", r"l\.csv:2: no garment"),
        ("l.csv", 'person,garment,output\na,b,"c\n', r"l\.csv:\d: cannot be read as CSV"),
        ("l.csv", "person,garment,output\n", r"l\.csv: there are no rows"),
        ("l.csv", "", r"l\.csv: there are no rows"),
        ("l.jsonl", '{"person": "a"\n', r"l\.jsonl:1: not a JSON object"),
        ("l.jsonl", '\n["a"]\n', r"l\.jsonl:2: not a JSON object but \[\"a\"\]"),
        ("l.jsonl", '{"person": "a", "garment": "b", "output": ["c"]}\n', r"l\.jsonl:1: output must be text"),
        ("l.jsonl", '{"person": "a", "garment": "b"}\n', r"l\.jsonl:1: no output"),
    ],
)
def test_bad_lists_name_the_line(name: str, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read_manifest(write(name, text), KNOWN)


def test_lists_that_cannot_be_read() -> None:
    with pytest.raises(MissingInputError, match=r"none\.csv"):
        read_manifest(Path("none.csv"), KNOWN)
    Path("latin.csv").write_bytes("person,garment,output\nä,b,c\n".encode("latin-1"))
    with pytest.raises(BadInputError, match=r"latin\.csv:2: not UTF-8"):
        read_manifest(Path("latin.csv"), KNOWN)


def test_all_combinations_person_by_person() -> None:
    lines = combinations(["p/*.mp4", "p/a*"], ["g/*.jpg"], "out", "{garment}-on-{person}.mkv")
    names = [os.path.basename(line.output) for line in lines]
    assert names == ["x-on-a.mkv", "y-on-a.mkv", "x-on-b.mkv", "y-on-b.mkv"]


def test_combinations_that_collide_are_refused() -> None:
    with pytest.raises(UsageError, match=r"g/y\.jpg and .*g/x\.jpg would both be out/a\.mp4"):
        combinations(["p/*.mp4"], ["g/*.jpg"], "out", "{person}.mp4")
    for name in ("{person}_{size}.mp4", "{person", "{}.mp4"):
        with pytest.raises(UsageError, match="--name"):
            combinations(["p/*.mp4"], ["g/*.jpg"], "out", name)
    with pytest.raises(MissingInputError, match=r"nobody/\*: no such files"):
        combinations(["nobody/*"], ["g/*.jpg"], "out")


LIST = "person,garment,output{}\np/a.mp4,g/x.jpg,out/1.mp4{}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LIST.format(",fit", ",huge"), r"list\.csv:2: .*fit.*huge"),
        (LIST.format(",length", ",9"), r"list\.csv:2: .*--length.* less than"),
        (LIST.format(",start", ",soon"), r"list\.csv:2: .*'soon' is not a time"),
        (LIST.format(",no-audio", ",perhaps"), r"list\.csv:2: no-audio must be true or false"),
        (LIST.format(",preset", ",warp9"), r"list\.csv:2: unknown preset"),
        (LIST.format(",person-file", ",x"), r"list\.csv:2: unknown option person-file"),
        (LIST.format(",yes", ",true"), r"list\.csv:2: unknown option yes"),
        (LIST.format("", "").replace("1.mp4", "1.gif"), r"list\.csv:2: 1\.gif: the name must end in"),
        (LIST.format(",preview", ",3"), r"list\.csv:2: 1\.mp4: with preview the name must end in"),
        (LIST.format("", "") + "p/b.mp4,g/x.jpg,out/../out/1.mp4\n", r"list\.csv:3: .* output of list\.csv:2 too"),
        (
            LIST.format("", "").replace("out/", "p/"),
            r"list\.csv:2: the output p/1\.mp4 lies in the folder of the input",
        ),
        (LIST.format("", "").replace("out/1.mp4", "p/a.mp4"), r"list\.csv:2: the output p/a\.mp4 lies in"),
    ],
)
def test_bad_rows_are_refused_before_any_work(text: str, message: str) -> None:
    good = "p/a.mp4,g/y.jpg,out/good.mp4" + "," * (text.split("\n")[0].count(",") - 2) + "\n"
    write("list.csv", text + good)
    before = sorted(Path().rglob("*"))
    result = batch("list.csv")
    assert (result.exit_code, result.stdout) == (65, "")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "words", [(), ("--persons", "p/*.mp4"), ("list.csv", "--out-dir", "out"), (*ALL, "-y", "-n"), (*ALL, "--jobs", "0")]
)
def test_options_that_do_not_go_together(words: tuple[str, ...]) -> None:
    result = batch(*words)
    assert result.exit_code == 2, result.output


def test_a_row_takes_any_option_of_run() -> None:
    write(
        "list.csv",
        "person,garment,output,compare,no-audio,crf,end,back,codec,max-pixels\n"
        "p/a.mp4,g/x.jpg,out/1.mkv,yes,1,10,0.1,g/y.jpg,ffv1,\n"
        "p/a.mp4,g/x.jpg,out/2.mp4,no,0,,,,,640x480\n",
    )
    assert batch("list.csv", "--end", "0.15").exit_code == 0
    from vtryon.video import probe

    first, second = probe(Path("out/1.mkv")), probe(Path("out/2.mp4"))
    assert (first.width, first.codec, second.width, second.codec) == (192, "ffv1", 96, "h264")
    told = report("list.report.jsonl")
    assert [row["frames"] for row in told] == [3, 5]  # its own end, and the batch's
    assert [row["row"] for row in told] == ["list.csv:2", "list.csv:3"]


def test_pictures_in_place_of_videos() -> None:
    assert batch(*ALL, "--preview", "2", "--name", "{person}{garment}.png").exit_code == 0
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["ax.png", "ay.png", "bx.png", "by.png"]


def test_a_batch_is_told_in_full() -> None:
    result = batch(*ALL)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["output", "status", "frames", "seconds"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        [f"out/{name}.mp4", "done", frames] for name, frames in zip(("a_x", "a_y", "b_x", "b_y"), "6677", strict=True)
    ]
    assert lines[5].startswith("4 rows: 4 done, 26 frames in ")
    assert lines[6] == "out/batch.report.jsonl"
    assert outputs() == ["a_x.mp4", "a_y.mp4", "b_x.mp4", "b_y.mp4"]
    assert {(row["status"], row["error"], row["code"]) for row in report()} == {("done", None, 0)}
    assert all(row["seconds"] > 0 for row in report())
    assert not list(Path("out").glob(".*"))


def test_as_json_and_quiet() -> None:
    told = json.loads(batch(*ALL, "--json").stdout)
    assert (told["rows"], told["done"], told["failed"], told["frames"]) == (4, 4, 0, 26)
    result = batch(*ALL, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_finished_rows_are_recognised() -> None:
    batch(*ALL)
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.mp4*")}
    assert batch(*ALL).exit_code == 0
    assert worked == []
    assert {path: path.stat().st_mtime_ns for path in Path("out").glob("*.mp4*")} == before
    assert [(row["status"], row["frames"]) for row in report()] == [("skipped", n) for n in (6, 6, 7, 7)]


def test_moved_outputs_are_still_finished() -> None:
    """A copy has another time; then the contents tell."""
    batch(*ALL)
    os.utime("out/a_x.mp4", (1, 1))
    assert batch(*ALL).exit_code == 0
    assert worked == []


def test_what_is_missing_or_lost_its_record_is_made() -> None:
    batch(*ALL)
    Path("out/a_x.mp4").unlink()
    Path("out/a_y.mp4").unlink()
    Path(f"out/a_y.mp4{SUFFIX}").unlink()
    assert batch(*ALL).exit_code == 0
    assert worked == ["out/a_x.mp4", "out/a_y.mp4"]


@pytest.mark.parametrize("change", ["options", "garment", "person"])
def test_other_inputs_or_options_make_another_output(change: str) -> None:
    batch(*ALL)
    words = [*ALL]
    if change == "options":
        words += ["--fit", "loose"]
    elif change == "garment":
        Path("g/x.jpg").write_bytes(b"new")
    else:
        media.make(Path("p/a.mp4"), media.Spec(count=5))
    changed = {
        "options": ["a_x", "a_y", "b_x", "b_y"],
        "garment": ["a_x", "b_x"],
        "person": ["a_x", "a_y"],
    }[change]
    result = batch(*words)
    assert result.exit_code == 3
    assert worked == []
    told = {Path(row["output"]).stem: row for row in report()}
    assert [name for name, row in told.items() if row["status"] == "failed"] == changed
    assert "made from other inputs or with other options; -y" in told["a_x"]["error"]
    assert told["a_x"]["code"] == 73
    assert batch(*words, "-n").exit_code == 0
    assert worked == []
    assert batch(*words, "-y").exit_code == 0
    assert worked == [f"out/{name}.mp4" for name in changed]
    assert batch(*words).exit_code == 0
    assert worked == []


@pytest.mark.parametrize("how", ["foreign", "changed", "bad record"])
def test_files_of_others_are_not_overwritten(how: str) -> None:
    Path("out").mkdir()
    if how != "foreign":
        batch(*ALL)
    if how == "bad record":
        Path(f"out/a_x.mp4{SUFFIX}").write_text('{"format": 1}')
    else:
        Path("out/a_x.mp4").write_bytes(b"precious")
    before = Path("out/a_x.mp4").read_bytes()
    assert batch(*ALL).exit_code == 3
    assert Path("out/a_x.mp4").read_bytes() == before
    (row,) = (row for row in report() if row["status"] == "failed")
    assert row["error"] == "out/a_x.mp4 exists and is not of this batch; -y overwrites it, -n leaves it"
    assert batch(*ALL, "-y").exit_code == 0
    assert worked == ["out/a_x.mp4"]


def test_a_failing_row_does_not_stop_the_rest() -> None:
    Path("p/b.mp4").write_bytes(b"no video")
    Path("g/y.jpg").unlink()
    write(
        "list.csv",
        "person,garment,output\n" + "".join(f"p/{p}.mp4,g/{g}.jpg,out/{p}{g}.mp4\n" for p in "ab" for g in "xy"),
    )
    result = batch("list.csv")
    assert result.exit_code == 3
    assert result.stderr == "vtryon: error: 3 of 4 rows failed or were not done; list.report.jsonl says why\n"
    told = {Path(row["output"]).stem: (row["status"], row["code"]) for row in report("list.report.jsonl")}
    assert told == {"ax": ("done", 0), "ay": ("failed", 66), "bx": ("failed", 65), "by": ("failed", 66)}
    lines = {Path(row["output"]).stem: row["error"] for row in report("list.report.jsonl")}
    assert "p/b.mp4" in lines["bx"]
    assert "g/y.jpg" in lines["ay"]
    assert outputs() == ["ax.mp4"]
    assert [line for line in result.stdout.splitlines() if "failed" in line and "g/y.jpg" in line]


def test_a_defect_of_ours_is_one_line_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(frames: Any, garment: Any, **rest: Any) -> Any:
        for shown in fakes.try_on(frames, garment, **rest):
            if shown.frame.index == 3:
                raise RuntimeError("out of\ncheese")
            yield shown

    monkeypatch.setattr("vtryon.job.try_on", breaks)
    assert batch(*ALL).exit_code == 3
    assert {(row["error"], row["code"]) for row in report()} == {("unexpected RuntimeError: out of cheese", 1)}
    assert [path.name for path in Path("out").iterdir()] == ["batch.report.jsonl"]


def test_errors_name_the_output_not_the_place_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from vtryon.errors import WriteError

    def full(options: Any, **_: Any) -> Any:
        raise WriteError(f"{options.output}: disk full after 3.0 MB")

    monkeypatch.setattr("vtryon.job.run", full)
    assert batch(*ALL).exit_code == 3
    assert report()[0]["error"] == "out/a_x.mp4: disk full after 3.0 MB"
    assert report()[0]["code"] == 74


def test_dry_run_touches_nothing() -> None:
    batch(*ALL)
    Path("out/a_x.mp4").unlink()
    Path("out/b_y.mp4").write_bytes(b"precious")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    result = batch(*ALL, "--dry-run", "--jobs", "2")
    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["make", "skip", "skip", "fail"]
    assert "is not of this batch" in lines[3]
    assert lines[4].startswith("4 rows: 1 to make, 2 to skip, 1 to fail; about 0:0")
    told = json.loads(batch(*ALL, "--dry-run", "--json").stdout)
    assert [row["action"] for row in told["rows"]] == ["make", "skip", "skip", "fail"]
    assert told["seconds"] > 0
    assert told["learned_from_rows"] == 4  # the stand-ins are quick, and so is the estimate


def test_the_estimate_learns_from_this_machine() -> None:
    first = json.loads(batch(*ALL, "--dry-run", "--json").stdout)
    batch(*ALL)
    took = sum(row["seconds"] for row in report())
    second = json.loads(batch(*ALL, "-y", "--fit", "loose", "--dry-run", "--json", "--jobs", "1").stdout)
    assert first["learned_from_rows"] == 0
    assert second["seconds"] == pytest.approx(took, rel=0.02)


def test_a_report_replaces_reports_only() -> None:
    result = batch(*ALL, "--report", "p/a.mp4")
    assert result.exit_code == 73
    assert "is no report" in result.stderr
    assert batch(*ALL, "--report", "told.jsonl").exit_code == 0
    assert batch(*ALL, "--report", "told.jsonl").exit_code == 0
    assert len(report("told.jsonl")) == 4


def test_what_is_left_over_is_told_from_work(tmp_path: Path) -> None:
    left = tmp_path / "out" / f"{PREFIX}killed"
    left.mkdir(parents=True)
    (left / "half.mp4").write_bytes(b"half")
    with staging(tmp_path / "out") as own:
        (own / "busy.mp4").write_bytes(b"busy")
        assert sweep(tmp_path / "out") == 1
        assert not left.exists()
        assert (own / "busy.mp4").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_addresses_are_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's memory stands for any store."""
    import fsspec

    store = fsspec.filesystem("memory")
    for name in ("p/a.mp4", "p/b.mp4", "g/x.jpg"):
        store.pipe_file(f"/shop/{name}", Path(name).read_bytes())
    words = ("--persons", "memory://shop/p/*.mp4", "--garments", "memory://shop/g/*", "--out-dir", "memory://shop/out")
    result = batch(*words)
    assert result.exit_code == 0, result.output
    assert sorted(path.rpartition("/")[2] for path in store.ls("/shop/out", detail=False)) == [
        "a_x.mp4",
        "a_x.mp4" + SUFFIX,
        "b_x.mp4",
        "b_x.mp4" + SUFFIX,
    ]
    Path("copy.mp4").write_bytes(store.cat_file("/shop/out/b_x.mp4"))
    from vtryon.video import VideoReader

    with VideoReader(Path("copy.mp4")) as reader:
        assert sum(1 for _ in reader) == 7
    assert batch(*words).exit_code == 0
    assert worked == []
    store.pipe_file("/shop/g/x.jpg", b"another picture")
    assert batch(*words).exit_code == 3
    assert batch(*words, "-y").exit_code == 0
    assert worked == [f"memory://shop/out/{name}_x.mp4" for name in "ab"]
    assert list(Path("cache/staging").iterdir()) == []


def test_addresses_that_lead_nowhere() -> None:
    write(
        "list.csv",
        "person,garment,output\n"
        "memory://nobody/a.mp4,g/x.jpg,out/1.mp4\n"
        "nosuch://shop/a.mp4,g/x.jpg,out/2.mp4\n"
        "p/a.mp4,g/x.jpg,out/3.mp4\n",
    )
    assert batch("list.csv").exit_code == 3
    told = report("list.report.jsonl")
    assert [(row["status"], row["code"]) for row in sorted(told, key=lambda row: row["row"])] == [
        ("failed", 66),
        ("failed", 2),
        ("done", 0),
    ]


def test_errors_and_warnings_name_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/bad/p/a.mp4", b"no video")
    fsspec.filesystem("memory").pipe_file("/bad/p/b.mp4", Path("p/b.mp4").read_bytes())
    monkeypatch.setattr("vtryon.garment.load_garment", lambda path: fakes.garment(f"creases in {path}"))
    words = ("--persons", "memory://bad/p/*", "--garments", "g/x.jpg", "--out-dir", "out")
    assert batch(*words).exit_code == 3
    bad, good = report()
    assert bad["error"].startswith("memory:///bad/p/a.mp4: not a video")
    assert good["warnings"] == ["creases in g/x.jpg"]


def test_addresses_want_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    result = batch("--persons", "s3://shop/*.mp4", "--garments", "g/x.jpg", "--out-dir", "out")
    assert result.exit_code == 69
    assert "pip install fsspec" in result.stderr


def test_a_cache_limit_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTRYON_CACHE_SIZE", "plenty")
    result = batch(*ALL)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'plenty' is not a size" in result.stderr


def test_names_of_places() -> None:
    assert places.is_remote("s3://b/x.mp4")
    assert not places.is_remote("C:\\x.mp4")
    assert places.join("s3://b/out/", "x.mp4") == "s3://b/out/x.mp4"
    assert (places.name_of("s3://b/x.mp4"), places.stem_of("s3://b/x.mp4")) == ("x.mp4", "x")
    assert places.folder_of("s3://b/out/x.mp4") == "s3://b/out"
