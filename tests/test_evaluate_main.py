"""The measures' entrance: JSON out, one line for what is missing; and a clip measured with a stand-in for try-on."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fakes
from vtryon.evaluate import clip
from vtryon.evaluate.__main__ import first_picture, main, without_nan
from vtryon.person.regions import label_regions
from vtryon.types import Array
from vtryon.video import EncodeOptions, VideoWriter


def written(path: Path, pictures: list[Array]) -> Path:
    height, width = pictures[0].shape[:2]
    options = EncodeOptions(crf=0, pix_fmt="yuv444p")
    with VideoWriter(path, width=width, height=height, time_base=Fraction(1, 24), options=options) as writer:
        for pts, picture in enumerate(pictures):
            writer.write(picture, pts)
    return path


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A clip of smooth colours and its truth, in which red is full as the stand-in paints it."""
    monkeypatch.setattr(clip, "try_on", fakes.try_on)
    monkeypatch.setattr(clip, "load_garment", fakes.load_garment)
    y, x = np.mgrid[:96, :128]
    plain = [np.stack([40 + x // 2, 60 + y, 90 + x // 3 + n], -1).astype(np.uint8) for n in range(5)]
    red = [np.concatenate([np.full_like(p[..., :1], 255), p[..., 1:]], -1) for p in plain]
    return written(tmp_path / "plain.mp4", plain), written(tmp_path / "red.mp4", red)


def test_a_result_like_the_truth_scores_as_such(clips: tuple[Path, Path]) -> None:
    found = clip.measure_clip(clips[0], clips[0], clips[1], labeller=label_regions, step=2)
    assert found["frames"] == 3
    assert found["result"]["region_l1"] < 4  # what the encoder loses
    assert found["result"]["ssim"] > 0.98
    assert found["copy of the source"]["region_l1"] == pytest.approx(np.mean(255 - 40 - np.arange(128) // 2) / 3, abs=2)


def test_a_garment_already_worn_has_its_source_for_truth(clips: tuple[Path, Path]) -> None:
    found = clip.measure_clip(clips[1], clips[0], None, labeller=label_regions)
    assert found["result"]["l1"] < 2
    assert "copy of the source" not in found


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["texture", "--warp", "anchored", "--data", str(tmp_path)]) == 66
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_json_holds_no_nan() -> None:
    plain = without_nan({"a": {"b": float("nan"), "c": 1.5}, "d": "x", "e": float("inf")})
    assert json.loads(json.dumps(plain, allow_nan=False)) == {"a": {"b": None, "c": 1.5}, "d": "x", "e": None}


def test_photographs_are_cut_to_even_sizes(tmp_path: Path) -> None:
    Image.new("RGB", (31, 20), (9, 8, 7)).save(tmp_path / "odd.png")
    assert first_picture(tmp_path / "odd.png").shape == (20, 30, 3)
