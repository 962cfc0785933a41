"""The command line in process: text, codes and policies, with stand-ins for the heavy rooms."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner, Result

import fakes
import media
import vtryon
from vtryon.cli.app import app
from vtryon.video import VideoReader, probe


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with a person.mp4 and a shirt.png, and rooms that dress in no time."""
    media.make(tmp_path / "person.mp4", media.Spec(count=12, sound=media.Sound(seconds=0.4)))
    (tmp_path / "shirt.png").write_bytes(b"the stand-in does not look")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vtryon.garment.load_garment", fakes.load_garment)
    monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)
    monkeypatch.setenv("NO_COLOR", "1")


def vtryon_(*words: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def files() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"person.mp4", "shirt.png"}


def error(result: Result) -> str:
    """The one line of a failure."""
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("vtryon: error: ")
    return result.stderr.removeprefix("vtryon: error: ").strip()


def test_version() -> None:
    result = vtryon_("--version")
    assert (result.exit_code, result.stdout) == (0, f"vtryon {vtryon.__version__}\n")


def test_no_arguments_show_the_help() -> None:
    result = vtryon_()
    assert "run" in result.output
    assert "benchmark" in result.output


def test_run_needs_nothing_but_two_inputs() -> None:
    result = vtryon_("run", "person.mp4", "shirt.png")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"person\.vtryon\.mp4: 12 frames in [\d.]+ s \([\d.]+ fps\), sound copied\n", result.stdout), (
        result.stdout
    )
    assert result.stderr == ""
    assert files() == {"person.vtryon.mp4"}


def test_run_as_json() -> None:
    result = vtryon_("run", "person.mp4", "shirt.png", "-o", "out.mkv", "--json")
    record = json.loads(result.stdout)
    assert record["output"] == "out.mkv"
    assert (record["frames"], record["width"], record["height"]) == (12, 96, 64)
    assert (record["audio"], record["warnings"], record["skipped"]) == ("copied", [], False)
    assert record["bytes"] == Path("out.mkv").stat().st_size


def test_quiet_says_nothing() -> None:
    result = vtryon_("run", "person.mp4", "shirt.png", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert files() == {"person.vtryon.mp4"}


def test_verbose_says_what_was_read() -> None:
    result = vtryon_("run", "person.mp4", "shirt.png", "-v")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "vtryon: person.mp4: h264 yuv420p, 96 x 64, sound aac",
        "vtryon: shirt.png: short-sleeve, 32 x 32",
    ]


def test_output_that_exists_is_refused_kept_or_replaced() -> None:
    out = Path("out.mp4")
    out.write_bytes(b"precious")
    result = vtryon_("run", "person.mp4", "shirt.png", "-o", out)
    assert result.exit_code == 73
    assert "exists" in error(result)
    result = vtryon_("run", "person.mp4", "shirt.png", "-o", out, "-n")
    assert (result.exit_code, result.output) == (0, "")
    assert out.read_bytes() == b"precious"
    result = vtryon_("run", "person.mp4", "shirt.png", "-o", out, "-n", "--json")
    assert json.loads(result.stdout)["skipped"] is True
    assert vtryon_("run", "person.mp4", "shirt.png", "-o", out, "-y").exit_code == 0
    assert probe(out).frames_estimate == 12
    assert files() == {"out.mp4"}


@pytest.mark.parametrize("name", ["p\u00e9rson \u8863.mp4", "a:b.mkv", "-dash.mp4", "UPPER.MP4", "file:x.mp4"])
def test_names_are_names_and_nothing_else(name: str) -> None:
    Path("person.mp4").rename(f"in{name}")
    result = vtryon_("run", "-o", name, "--", f"in{name}", "shirt.png")
    assert result.exit_code == 0, result.output
    assert files() == {name, f"in{name}"}
    assert probe(Path(name)).frames_estimate == 12


def test_yes_and_no_contradict() -> None:
    assert vtryon_("run", "person.mp4", "shirt.png", "-y", "-n").exit_code == 2


def test_output_may_not_be_an_input_even_with_yes() -> None:
    before = Path("person.mp4").read_bytes()
    Path("link.mp4").symlink_to("person.mp4")
    for name in ("person.mp4", "./person.mp4", "link.mp4"):
        result = vtryon_("run", "person.mp4", "shirt.png", "-o", name, "-y")
        assert result.exit_code == 73
        assert "input" in error(result)
    assert Path("person.mp4").read_bytes() == before


def test_output_that_is_a_folder_or_in_none() -> None:
    Path("there.mp4").mkdir()
    for name in ("there.mp4", "nowhere/out.mp4"):
        result = vtryon_("run", "person.mp4", "shirt.png", "-o", name)
        assert result.exit_code == 73
        assert "folder" in error(result)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nobody.mp4", "shirt.png"), 66, "nobody.mp4"),
        (("person.mp4", "nothing.png"), 66, "nothing.png"),
        (("person.mp4", "shirt.png", "--back", "nothing.png"), 66, "nothing.png"),
        (("person.mp4", "shirt.png", "--person", "nothing.vtp"), 66, "nothing.vtp"),
        (("shirt.png", "shirt.png"), 65, "shirt.png"),
        (("concat:person.mp4|person.mp4", "shirt.png"), 2, "concat:"),
        (("img%d.png", "shirt.png"), 2, "img%d.png"),
        (("person.mp4", "shirt.png", "-o", "out.avi"), 2, "out.avi"),
        (("person.mp4", "shirt.png", "-o", "out%d.mp4"), 2, "out%d.mp4"),
        (("person.mp4", "shirt.png", "-o", "out.webm", "--codec", "h264"), 2, ".webm"),
        (("person.mp4", "shirt.png", "--crf", "60"), 2, "crf"),
        (("person.mp4", "shirt.png", "--preset", "hasty"), 2, "hasty"),
        (("person.mp4", "shirt.png", "--pix-fmt", "rgb565"), 2, "rgb565"),
        (("person.mp4", "shirt.png", "--start", "3", "--end", "2"), 2, "--end"),
        (("person.mp4", "shirt.png", "--start", "60"), 65, "--start"),
        (("person.mp4", "shirt.png", "--max-pixels", "64x64"), 65, "--max-pixels"),
        (("person.mp4", "shirt.png", "--preview", "3", "-o", "out.mp4"), 2, ".png"),
        (("person.mp4", "shirt.png", "-o", "same.mp4", "--save-person", "same.mp4"), 2, "same.mp4"),
        (("person.mp4", "shirt.png", "--save-person", "shirt.png", "-y"), 73, "shirt.png"),
    ],
)
def test_bad_input_gives_one_line_a_code_and_no_file(words: tuple[str, ...], code: int, says: str) -> None:
    before = Path("shirt.png").read_bytes()
    result = vtryon_("run", *words)
    assert says in error(result)
    assert result.exit_code == code
    assert files() == set()
    assert Path("shirt.png").read_bytes() == before


@pytest.mark.parametrize("words", [("--start", "soon"), ("--max-pixels", "big"), ("--fit", "baggy"), ("--length", "9")])
def test_values_that_cannot_be_read_are_usage_errors(words: tuple[str, ...]) -> None:
    result = vtryon_("run", "person.mp4", "shirt.png", *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert files() == set()


@pytest.mark.parametrize(("text", "first"), [("0.2", 6), ("0.2s", 6), ("0:00.1", 3), ("0:00:00.3", 9)])
def test_times(text: str, first: int) -> None:
    assert vtryon_("run", "person.mp4", "shirt.png", "-o", "out.mkv", "--start", text, "--lossless").exit_code == 0
    with VideoReader(Path("out.mkv")) as frames:
        pictures = [frame.rgb for frame in frames]
    assert len(pictures) == 12 - first


def test_a_video_without_a_person_is_an_error() -> None:
    media.make(Path("empty.mp4"), media.Spec(pictures=[media.np.zeros((64, 96, 3), "uint8")] * 5))
    result = vtryon_("run", "empty.mp4", "shirt.png", "--save-person", "kept.vtp")
    assert result.exit_code == 65
    assert "no person" in error(result)
    assert files() == {"empty.mp4"}


def test_frames_without_a_person_are_counted_and_said() -> None:
    dark = [media.counted(n) * (n % 3 > 0) for n in range(6)]
    media.make(Path("some.mp4"), media.Spec(pictures=dark))
    result = vtryon_("run", "some.mp4", "shirt.png")
    assert result.stdout.rstrip().endswith("sound none, no person in 2")


def test_warnings_go_to_stderr_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.garment.load_garment", lambda path: fakes.garment("looks upside down", "is creased"))
    result = vtryon_("run", "person.mp4", "shirt.png")
    assert result.stderr == "vtryon: warning: looks upside down\nvtryon: warning: is creased\n"
    assert result.stdout.rstrip().endswith("2 warnings")


def test_garment_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("vtryon.garment.load_garment", lambda path: seen.append(path.read_bytes()) or fakes.garment())
    assert vtryon_("run", "person.mp4", "-", stdin=b"a picture").exit_code == 0
    assert seen == [b"a picture"]

    def refuse(path: Path) -> None:
        raise vtryon.BadInputError(f"{path} is not a picture")

    monkeypatch.setattr("vtryon.garment.load_garment", refuse)
    result = vtryon_("run", "person.mp4", "-", "-o", "out.mp4", stdin=b"no picture")
    assert (result.exit_code, error(result)) == (65, "standard input is not a picture")
    result = vtryon_("run", "person.mp4", "-", "-o", "out.mp4", stdin=b"")
    assert result.exit_code == 66
    assert "standard input" in error(result)


def test_unexpected_failures_are_one_line_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError("two lines\nof it")

    monkeypatch.setattr("vtryon.garment.load_garment", broken)
    result = vtryon_("run", "person.mp4", "shirt.png")
    assert result.exit_code == 1
    assert error(result) == "unexpected ZeroDivisionError: two lines of it (run with -vv for the traceback)"
    result = vtryon_("run", "person.mp4", "shirt.png", "-vv")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert files() == set()


def test_a_missing_system_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("vtryon.garment.load_garment", broken)
    result = vtryon_("run", "person.mp4", "shirt.png")
    assert result.exit_code == 69
    assert "libGL.so.1" in error(result)


def test_default_codec_follows_the_container() -> None:
    assert vtryon_("run", "person.mp4", "shirt.png", "-o", "out.webm").exit_code == 0
    info = probe(Path("out.webm"))
    assert (info.codec, info.audio_codec) == ("vp9", "opus")


def test_no_audio() -> None:
    result = vtryon_("run", "person.mp4", "shirt.png", "-o", "out.mp4", "--no-audio")
    assert "sound none" in result.stdout
    assert probe(Path("out.mp4")).audio_codec is None


def test_probe() -> None:
    result = vtryon_("probe", "person.mp4")
    assert result.exit_code == 0
    assert re.search(r"^width +96$", result.stdout, re.MULTILINE)
    record = json.loads(vtryon_("probe", "person.mp4", "--json").stdout)
    assert (record["height"], record["codec"], Fraction(record["average_rate"])) == (64, "h264", 30)
    assert vtryon_("probe", "shirt.png").exit_code == 65


def test_info_names_versions_and_devices() -> None:
    record = json.loads(vtryon_("info", "--json").stdout)
    assert record["vtryon"] == vtryon.__version__
    assert record["devices"][0] == "cpu"
    assert "h264" in record["codecs"]
    assert record["packages"]["av"].split(".") >= ["18", "1"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_VTRYON_COMPLETE", f"source_{shell}")
    result = CliRunner().invoke(app, [], prog_name="vtryon")
    assert result.exit_code == 0
    assert "vtryon" in result.stdout


@pytest.mark.parametrize("command", ["run", "warp", "benchmark", "probe", "info"])
def test_every_option_says_what_it_does(command: str) -> None:
    import typer

    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    assert [p.name for p in parameters if not p.help] == []


def test_files_are_judged_by_the_library_not_by_the_parser() -> None:
    """A file that may not be read is exit code 66, and an output that may not be read is still an output."""
    callbacks = [command.callback for command in app.registered_commands]
    hints = [hint for call in callbacks for hint in get_type_hints(call, include_extras=True).values()]
    paths = [hint.__metadata__[0] for hint in hints if get_origin(hint) is Annotated and Path in _plain_types(hint)]
    assert len(paths) > 10
    assert not any(path.exists or path.readable or path.writable for path in paths)


def _plain_types(hint: Any) -> tuple[Any, ...]:
    return get_args(hint.__origin__) or (hint.__origin__,)
