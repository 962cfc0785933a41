"""What README promises is true: its commands run, its tables are complete."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import fakes
import media
import vtryon
from conftest import ROOT
from vtryon.batch.rows import News, Task
from vtryon.batch.work import work
from vtryon.cache import Cache
from vtryon.cli.app import app
from vtryon.progress import silent

README = (ROOT / "README.md").read_text()
BLOCKS = {kind: re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL) for kind in ("sh", "python")}
LINES = [line.split("#")[0].strip() for block in BLOCKS["sh"] for line in block.splitlines()]
SIMPLE = [line for line in LINES if line.startswith("vtryon run person.mp4 shirt.jpg")]


@pytest.fixture(autouse=True)
def _rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.garment.load_garment", fakes.load_garment)
    monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)


def test_there_are_commands_to_test() -> None:
    assert len(SIMPLE) >= 5


@pytest.mark.parametrize("line", SIMPLE)
def test_quick_start(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    media.make(Path("person.mp4"), media.Spec(count=36, time_base=Fraction(1, 2), rate=Fraction(2)))
    for name in ("shirt.jpg", "back.jpg"):
        Path(name).write_bytes(b"the stand-in does not look")
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert Path(result.stdout.split(":")[0]).is_file()


def test_keeping_the_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    media.make(Path("person.mp4"))
    for name in ("red.jpg", "green.jpg"):
        Path(name).write_bytes(b"the stand-in does not look")
    lines = [line for line in LINES if "person.vtp" in line]
    assert len(lines) == 2
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output


def test_many_garments(tmp_path: Path) -> None:
    (tmp_path / "vtryon").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests/fakes.py"}" "$@"\n')
    (tmp_path / "vtryon").chmod(0o755)
    (tmp_path / "shirts").mkdir()
    media.make(tmp_path / "person.mp4")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "shirts" / name).write_bytes(b"the stand-in does not look")
    words = ["sh", str(ROOT / "examples/many_garments.sh"), "person.mp4", "out"]
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def batch(*shirts: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *shirts], cwd=tmp_path, env=path, capture_output=True, text=True, timeout=120)

    done = batch("shirts/a.jpg", "shirts/nothing.jpg", "shirts/b.jpg")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "shirts/nothing.jpg: failed with exit code 66"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mp4", "person.vtp"]
    again = batch("shirts/a.jpg", "shirts/b.jpg")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.slow
def test_batch_script(tmp_path: Path) -> None:
    (tmp_path / "vtryon").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests/fakes.py"}" "$@"\n')
    (tmp_path / "vtryon").chmod(0o755)
    for name in ("people", "shirts"):
        (tmp_path / name).mkdir()
    media.make(tmp_path / "people/a b.mp4")
    (tmp_path / "people/c.mp4").write_bytes(b"no video")
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / "shirts" / name).write_bytes(name.encode())
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "VTRYON_CACHE": str(tmp_path / "cache"),
        "VTRYON_FAKE_COUNT": str(tmp_path / "count"),
    }
    words = ["sh", str(ROOT / "examples/batch.sh"), "out", "2", "people/*.mp4", "shirts/*.jpg"]

    def batch() -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    done = batch()
    assert done.returncode == 3
    told = [line for line in done.stderr.splitlines() if "exit code" in line]
    assert sorted(told) == [f"people/c.mp4 in shirts/{g}.jpg: failed with exit code 65" for g in "xy"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"a b_{g}.mp4{end}" for g in "xy" for end in ("", ".json")
    ]
    assert json.loads((tmp_path / "out/a b_x.mp4.json").read_text())["frames"] == 12
    assert (tmp_path / "count").read_text() == "analysed\n"
    (tmp_path / "people/c.mp4").unlink()
    assert (batch().returncode, (tmp_path / "count").read_text()) == (0, "analysed\n")


def test_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vtryon, "load_garment", fakes.load_garment, raising=False)
    monkeypatch.setattr(vtryon, "try_on", fakes.try_on, raising=False)
    script = runpy.run_path(str(ROOT / "examples/every_second.py"))
    clip = media.make(tmp_path / "person.mp4", media.Spec(count=6, time_base=Fraction(1, 2), rate=Fraction(2)))
    script["main"](clip, clip, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000s.png", "0001s.png", "0002s.png"]


def test_the_main_command_names_what_is_there() -> None:
    (command,) = (line for line in LINES if "vtryon run examples/" in line)
    words = shlex.split(command.split("&&")[-1])
    assert words[0] == ".venv/bin/vtryon"
    assert all((ROOT / name).is_file() for name in words[2:4])
    assert (ROOT / "constraints.txt").is_file()


def test_python_example(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = BLOCKS["python"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(vtryon, "load_garment", fakes.load_garment, raising=False)
    monkeypatch.setattr(vtryon, "try_on", fakes.try_on, raising=False)
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert scope["picture"].shape == (640, 480, 3)  # type: ignore[attr-defined]


def test_batch_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(tasks: list[Task], tell: Callable[[News], None], *, cache: Cache, **_: object) -> None:
        for task in tasks:
            tell(News(task.index, outcome=work(task, cache, silent)))

    monkeypatch.setattr("vtryon.batch.pool.run_here", here)
    monkeypatch.setattr("vtryon.reuse.analyse", fakes.analyse)
    monkeypatch.setattr("vtryon.reuse.default_labeller", lambda _: None)
    monkeypatch.setenv("VTRYON_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("people", "shirts"):
        Path(name).mkdir()
    media.make(Path("people/ann.mp4"))
    for name in ("red", "blue"):
        Path(f"shirts/{name}.jpg").write_bytes(name.encode())
    (table,) = re.findall(r"^```csv\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    Path("list.csv").write_text(table)
    lines = [line for line in LINES if line.startswith("vtryon batch") and "--ray" not in line]
    assert len(lines) == 3
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
    made = sorted(str(path) for path in Path().rglob("*.mp4") if path.parent.name != "people")
    assert made == ["dressed/ann_blue.mp4", "dressed/ann_red.mp4", "out/ann_blue.mp4", "out/ann_red.mp4"]


def test_the_option_table_of_batch_is_complete() -> None:
    table = README.split("| option of `vtryon batch` |")[1].split("\n\n")[0]
    told = {
        name for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"--[a-z-]+", cell)
    }
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {command: {o for p in commands[command].params for o in p.opts} for command in ("run", "batch")}
    own = {name for name in options["batch"] - options["run"] if name.startswith("--")}
    assert told == own


def test_the_option_table_is_complete() -> None:
    table = README.split("## Options of `vtryon run`")[1].split("\n\n`GARMENT`")[0]
    told = {
        name for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"-[a-z-]+", cell)
    }
    parameters = typer.main.get_command(app).commands["run"].params  # type: ignore[attr-defined]
    options = [p for p in parameters if p.param_type_name == "option" and p.name != "help"]
    missing = [p.opts for p in options if not told & set(p.opts)]
    assert missing == []
    known = {name for p in options for name in p.opts} | {"-vv"}
    assert told <= known


def test_every_exit_code_is_told() -> None:
    from vtryon import errors

    told = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for code in cell.split(",")}
    kinds = [errors.VtryonError, *errors.VtryonError.__subclasses__()]
    assert told == {0, 130, 143} | {kind.exit_code for kind in kinds}


def test_pictures_are_there() -> None:
    names = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert names
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_the_checks_run_the_command_that_readme_gives() -> None:
    commands = re.findall(r"^python3 -m venv .*pytest.*$", README, re.MULTILINE)
    assert len(commands) == 1  # .ci/run takes it from there
    assert commands[0].count("&&") == 2
