"""``vtryon evaluate``: tables, files and refusals, over folders of results and over data sets of every layout."""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import media
import trees
from conftest import ROOT
from moving import flickering, noisy, save_frames, sliding
from vtryon.cli.app import app
from vtryon.evaluate import protocol
from vtryon.evaluate.measures import EXTRA, MEASURES
from vtryon.evaluate.networks import LOGITS, Distributions
from vtryon.evaluate.pretrained import BACKBONES, INCEPTION
from vtryon.evaluate.protocol import EvaluateOptions, Evaluation
from vtryon.progress import Progress
from vtryon.render.unet import RendererNet, RendererSize, save_renderer
from vtryon.warp.network import MatchingNet, MatchingSize, save_matching

FAST = ("--region", "frame", "--measures", "ssim,vmaf,warp_ratio")


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two clips of truth, and results of two methods: one that flickers and one that does not."""
    monkeypatch.chdir(tmp_path)
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "cache")
    for number, name in enumerate(("walk", "turn")):
        clip = noisy(sliding(5, step=(2.0, float(number)), seed=number), 1)
        save_frames(Path("truth", name), clip)
        save_frames(Path("good", name), noisy(clip, 3))
        save_frames(Path("bad", name), flickering(noisy(clip, 12), 30))
    yield
    torch.hub.set_dir(before)


def evaluate(*words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *words])


def record(*words: str) -> dict[str, object]:
    result = evaluate(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def values(*words: str) -> dict[str, dict[str, float | None]]:
    return {m["name"]: m["values"] for m in record(*words)["methods"]}  # type: ignore[attr-defined]


def refused(code: int, *words: str) -> str:
    result = evaluate(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if "error" in line)
    return line


def test_methods_are_told_apart_under_one_protocol() -> None:
    found = values("good", "bad", "--truth", "truth", *FAST)
    good, bad = found["good"], found["bad"]
    for name in ("ssim", "vmaf"):
        assert (good[name] or 0) > (bad[name] or 0)
    assert (bad["warp_ratio"] or 0) > 2 * (good["warp_ratio"] or 0)


def test_progress_counts_frames() -> None:
    media.make(Path("clip.mp4"), media.Spec(count=6))
    told: list[Progress] = []
    for results, truth in (("good", "truth"), ("clip.mp4", "clip.mp4")):
        protocol.evaluate(
            EvaluateOptions((Path(results),), truth=Path(truth), measures=frozenset({"ssim"}), frames=4), told.append
        )
    assert told[:8] == [Progress("scoring good", n, 8) for n in range(1, 9)]
    assert told[8:] == [Progress("scoring clip.mp4", n, 4) for n in range(1, 5)]


def test_the_truth_itself_is_perfect() -> None:
    (found,) = values("truth", "--truth", "truth", *FAST).values()
    assert found["ssim"] == 1
    assert (found["vmaf"] or 0) > 97
    assert found["warp_ratio"] == pytest.approx(1)


def test_every_table_comes_with_its_protocol() -> None:
    result = evaluate("good", "bad", "--truth", "truth", "--frames", "4", "--size", "64x48", *FAST)
    assert result.exit_code == 0, result.output
    head, rule, *rows = (line for line in result.stdout.splitlines() if line.startswith("|"))
    assert head == "| method | SSIM ↑ | VMAF ↑ | warp error ratio ↓ |"
    assert rule.count("---") == 4
    assert [row.split(" | ")[0] for row in rows] == ["| good", "| bad"]
    for term in (
        "- protocol: paired", "- clips: good 2, bad 2", "- frames: good 8, bad 8; the first 4 of each clip",
        "- resolution: 64 x 48 (width x height), brought to it", "- colours: RGB, 8 bit, range 0 to 255",
        "- SSIM: Gaussian window", "BT.601 luma", "- computed with: vtryon",
    ):  # fmt: skip
        assert term in result.stdout


def test_what_cannot_be_computed_says_what_it_needs() -> None:
    found = record("good", "--truth", "truth", "--region", "frame", "--weights-dir", "w", "--frames", "2")
    missing = found["not_computed"]
    assert isinstance(missing, dict)
    assert missing["lpips"].startswith(f"needs {Path('w', BACKBONES['alex'].file)}")
    assert missing["fid"] == missing["is"]
    assert missing["is"].startswith(f"needs {Path('w', INCEPTION.file)}")
    assert missing["hem_jitter"] == missing["damage"] == "needs --region garment"
    table = evaluate("good", "--truth", "truth", "--region", "frame", "--frames", "2").stdout
    assert "- FID not computed: needs" in table
    assert table.split("| good |")[1].splitlines()[0].count("not computed") == 6
    assert str(Path("cache", "checkpoints", INCEPTION.file)) in table


def test_with_their_networks_all_columns_are_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    for kind, content in ((INCEPTION, {}), (BACKBONES["squeeze"], squeezenet1_1(weights=None).state_dict())):
        torch.save(content, tmp_path / kind.file)
        digest = hashlib.sha256((tmp_path / kind.file).read_bytes()).hexdigest()
        monkeypatch.setitem(vars(kind), "sha256", digest[:8])

    def stand_in(path: Path, _: torch.device) -> object:
        """Grey values of an eighth of the size for features, and their brightness for a class."""
        assert path == tmp_path / INCEPTION.file

        def extract(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            grey = pictures.float().mean(1)
            classes = grey.mean((1, 2)).div(25).long()
            return grey[:, ::16, ::32].flatten(1), 40.0 * torch.nn.functional.one_hot(classes, LOGITS).float()

        return extract

    monkeypatch.setattr("vtryon.evaluate.protocol.inception", stand_in)
    monkeypatch.setattr("vtryon.evaluate.protocol.Distributions", partial(Distributions, features=24))
    words = ("--truth", "truth", "--region", "frame", "--lpips", "squeeze", "--weights-dir", str(tmp_path))
    found = record("truth", "good", "bad", *words, "--measures", "lpips,is,fid")
    assert found["not_computed"] == {}
    same, good, bad = (m["values"] for m in found["methods"])  # type: ignore[attr-defined]
    assert same["lpips"] == pytest.approx(0, abs=1e-6)
    assert same["fid"] == pytest.approx(0, abs=0.5)
    for name in ("lpips", "fid"):
        assert same[name] < good[name] < bad[name]
    assert bad["is"] == 1, "each of ten parts has a single picture"
    assert "(under 2048: too low" in found["protocol"]["IS"]  # type: ignore[index]
    assert "10 pictures (under 2048: too high" in found["protocol"]["FID"]  # type: ignore[index]
    apart = record("good", "--sources", "bad", *words, "--measures", "fid")
    assert apart["methods"][0]["values"]["fid"] == pytest.approx(good["fid"]), "against the truth, not the source"  # type: ignore[index]
    real = record("good", "--sources", "truth", "--real", "bad", *words[2:], "--measures", "fid")
    assert "bad (--real)" in real["protocol"]["FID"]  # type: ignore[index]
    assert real["methods"][0]["values"]["fid"] > good["fid"]  # type: ignore[index]


def test_without_the_extra_the_rest_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.evaluate.measures.find_spec", lambda _: None)
    found = record("good", "--truth", "truth", "--region", "frame")
    assert found["not_computed"]["vmaf"] == found["not_computed"]["lpips"] == EXTRA  # type: ignore[index]
    assert found["methods"][0]["values"]["ssim"] > 0.5  # type: ignore[index]


def test_unpaired_has_no_truth() -> None:
    found = record("bad", "--sources", "truth", *FAST)
    assert found["not_computed"]["ssim"] == "needs truth (paired protocol)"  # type: ignore[index]
    assert found["protocol"]["protocol"].startswith("unpaired")  # type: ignore[index]
    assert found["methods"][0]["values"]["warp_ratio"] > 1.5  # type: ignore[index]
    tiny = record("good", "--truth", "truth", "--size", "24x24", *FAST[:2], "--measures", "ssim,vmaf,lpips")
    assert tiny["not_computed"]["vmaf"] == tiny["not_computed"]["lpips"] == "needs pictures of 32 x 32 px and more"  # type: ignore[index]
    assert 0 < tiny["methods"][0]["values"]["ssim"] < 1  # type: ignore[index]
    alone = record("bad", *FAST)
    assert alone["not_computed"]["warp_ratio"] == "needs --sources"  # type: ignore[index]


def test_the_report_is_written_and_not_overwritten() -> None:
    words = ("good", "bad", "--truth", "truth", *FAST, "-o", "out/report")
    assert evaluate(*words).exit_code == 0
    folder = Path("out/report")
    assert {p.name for p in folder.iterdir()} == {
        "report.json", "table.md", "clips.csv", "frames.csv", "temporal.png"
    }  # fmt: skip
    assert "| good |" in (folder / "table.md").read_text()
    clips = list(csv.DictReader((folder / "clips.csv").read_text().splitlines()))
    assert [(row["method"], row["clip"], row["frames"]) for row in clips[:2]] == [
        ("good", "turn", "5"),
        ("good", "walk", "5"),
    ]
    written = json.loads((folder / "report.json").read_text())["methods"][0]
    assert float(clips[0]["ssim"]) == written["clips"][0]["ssim"]
    assert written["values"]["ssim"] == pytest.approx(np.mean([c["ssim"] for c in written["clips"]]))
    frames = list(csv.DictReader((folder / "frames.csv").read_text().splitlines()))
    assert len(frames) == 20
    assert frames[0]["warp_error"] == ""
    assert float(frames[1]["warp_error"]) > 0
    with Image.open(folder / "temporal.png") as plot:
        assert np.asarray(plot.convert("RGB")).std() > 10
    before = (folder / "table.md").read_bytes()
    assert "exists" in refused(73, *words)
    assert "taken for a clip" in refused(73, *words[:-1], "good/report")
    assert evaluate(*words, "-n").exit_code == 0
    assert evaluate(*words, "-y", "--frames", "3").exit_code == 0
    assert (folder / "table.md").read_bytes() != before


def test_pictures_have_no_steadiness() -> None:
    for name in ("truth", "good"):
        for number, picture in enumerate(sliding(2)):
            Path(f"{name}-pictures").mkdir(exist_ok=True)
            Image.fromarray(picture).save(Path(f"{name}-pictures", f"{number}.png"))
    found = record("good-pictures", "--truth", "truth-pictures", *FAST)
    assert found["methods"][0]["values"]["ssim"] == 1  # type: ignore[index]
    assert found["not_computed"]["vmaf"] == found["not_computed"]["warp_ratio"]  # type: ignore[index]
    assert "pictures" in found["not_computed"]["vmaf"]  # type: ignore[index]


def test_videos_go_with_folders_of_frames() -> None:
    media.make(Path("walk.mp4"), media.Spec(count=4))
    save_frames(Path("made", "walk"), [media.counted(n) for n in range(4)])
    found = values("walk.mp4", "--truth", "walk.mp4", "--measures", "ssim")
    assert found["walk.mp4"]["ssim"] == 1
    Path("videos").mkdir()
    Path("walk.mp4").rename("videos/walk.mp4")
    assert (values("made", "--truth", "videos", "--measures", "ssim")["made"]["ssim"] or 0) > 0.95


def test_refusals_are_one_line_and_the_right_code() -> None:
    assert "no such folder" in refused(66, "nowhere", "--truth", "truth")
    save_frames(Path("other", "run"), sliding(2))
    assert "has the name of a result" in refused(65, "other", "--truth", "truth")
    save_frames(Path("short", "walk"), sliding(3))
    save_frames(Path("short", "turn"), sliding(5))
    assert "--frames 3" in refused(65, "short", "--truth", "truth", *FAST)
    save_frames(Path("small", "walk"), [f[:40] for f in sliding(5)])
    assert "turn missing" in refused(66, "small", "--truth", "truth")
    assert "--size" in refused(65, "small", "--truth", "truth", "--partial")
    assert "no measure ssmi" in refused(2, "good", "--truth", "truth", "--measures", "ssmi")
    assert "nothing to score" in refused(2, "--truth", "truth")
    assert "leave out --truth" in refused(2, "--data", "tree", "--truth", "truth")
    assert "are for --data" in refused(2, "good", "--truth", "truth", "--unpaired")
    assert "one name" in refused(2, "good", "./good", "--truth", "truth")
    assert "no such folder" in refused(66, "--data", "tree")
    assert "not a size" in refused(2, "good", "--size", "64")


def test_a_video_that_ends_early_is_told_of() -> None:
    for name, count in (("long", 6), ("short", 4)):
        media.make(Path(f"{name}.mp4"), media.Spec(count=count))
    told = refused(65, "short.mp4", "--truth", "long.mp4", "--measures", "ssim")
    assert "short: result has 4 frames" in told
    assert values("short.mp4", "--truth", "long.mp4", "--measures", "ssim", "--frames", "4")["short.mp4"]["ssim"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("layout", trees.LAYOUTS)
def test_the_model_is_run_over_a_data_set(layout: str) -> None:
    tree = trees.LAYOUTS[layout](Path("tree"))
    words = ("--data", str(tree), "--measures", "ssim,vmaf,warp_ratio,hem_jitter,leftover,damage")
    paired = () if layout != "viton" else ("--unpaired",)
    if layout == "viton":
        trees.save(tree / "test" / "cloth" / "000009_1.jpg", trees.garment()[..., ::-1])
    found = record(*words, *paired)
    (method,) = found["methods"]  # type: ignore[misc]
    assert method["name"] == "vtryon"
    assert method["undressed"] == []
    assert method["values"]["damage"] < 0.1
    if layout == "viton":
        assert 0 <= method["values"]["leftover"] < 0.5
        assert found["protocol"]["protocol"].startswith("unpaired")
        return
    assert method["values"]["ssim"] > 0.7
    assert method["values"]["warp_ratio"] > 0
    assert found["protocol"]["data"] == "tree, split test"


@pytest.mark.slow
def test_what_was_trained_is_scored_in_place_of_our_own() -> None:
    tree = trees.LAYOUTS["clips"](Path("tree"))
    torch.manual_seed(0)
    size = MatchingSize(
        lattice="paper", joined=False, agnostic=True, window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=8
    )
    save_matching(Path("warp.safetensors"), MatchingNet(size), {})
    save_renderer(Path("tryon.safetensors"), RendererNet(RendererSize((8, 8, 8), (1, 1, 1))), {})
    words = ("--data", str(tree), "--region", "frame", "--measures", "ssim")
    trained = ("--warp-weights", "warp.safetensors", "--renderer", "tryon.safetensors")
    found, shipped = record(*words, *trained), record(*words)
    for known, name in ((found, "drawn by tryon.safetensors"), (shipped, "drawn by the geometric composition")):
        assert name in known["protocol"]["model"]  # type: ignore[index]
    ours = shipped["methods"][0]["values"]["ssim"]  # type: ignore[index]
    assert values(*words, *trained[:2])["vtryon"]["ssim"] != ours
    assert 0.3 < found["methods"][0]["values"]["ssim"] < ours  # type: ignore[index]
    assert "no such weights" in refused(69, *words, "--renderer", "nowhere.safetensors")
    assert "leave out RESULTS" in refused(2, "good", *words, *trained)


def test_results_of_a_data_set_go_by_the_names_of_its_samples() -> None:
    tree = trees.LAYOUTS["clips"](Path("tree"))
    name = trees.NAMES[3]
    save_frames(Path("ours", name), list(trees.clip(3)))
    words = ("--data", str(tree), "--region", "frame", "--measures", "ssim,warp_ratio")
    assert values("ours", *words)["ours"] == {"ssim": 1, "warp_ratio": pytest.approx(1)}
    assert "has none of" in refused(65, "good", *words)


def test_a_garment_that_is_not_found_counts_as_the_source() -> None:
    tree = trees.LAYOUTS["clips"](Path("tree"))
    Image.new("RGB", (64, 64), "white").save(tree / "garments" / f"{trees.NAMES[3]}.jpg")
    found = record("--data", str(tree), "--region", "frame", "--measures", "ssim")
    (method,) = found["methods"]  # type: ignore[misc]
    assert method["values"]["ssim"] == 1
    (why,) = method["undressed"]
    assert why.startswith(f"{trees.NAMES[3]}: ")


@pytest.mark.parametrize("page", ["README.md", "docs/EVALUATE.md"])
def test_commands_of_the_documentation_are_taken(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        line.split("#")[0] for line in (ROOT / page).read_text().splitlines() if line.startswith("vtryon evaluate")
    ]
    assert len(lines) >= 4
    asked: list[EvaluateOptions] = []

    def note(options: EvaluateOptions, _: object) -> Evaluation:
        asked.append(options)
        return Evaluation({}, (), {})

    monkeypatch.setattr("vtryon.evaluate.protocol.evaluate", note)
    monkeypatch.setattr("vtryon.evaluate.report.write_report", lambda *_: ())
    for line in lines:
        assert evaluate(*shlex.split(line)[2:], "-y").exit_code == 0, line
    assert any(o.paired for o in asked)
    assert any(not o.paired for o in asked)


def test_every_measure_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "EVALUATE.md").read_text()
    for name, measure in MEASURES.items():
        assert f"| `{name}` | {measure.title} " in text
