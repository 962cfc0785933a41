"""Results find their truth and source by name; what is missing or does not fit is told in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moving import HEIGHT, WIDTH, save_frames, sliding
from vtryon.data import Footage, FootageKind
from vtryon.errors import BadInputError, MissingInputError, VtryonError
from vtryon.evaluate.footage import View, check_alike, collection, in_common, matched, resized


def folder(path: Path, *names: str, count: int = 3) -> Path:
    for number, name in enumerate(names):
        save_frames(path / name, sliding(count, seed=number))
    return path


def refusal(kind: type[VtryonError], results: Path, truth: Path | None, sources: Path | None = None) -> str:
    with pytest.raises(kind) as refused:
        matched(results, truth, sources)
    return str(refused.value)


def test_everything_in_a_folder_by_its_name(tmp_path: Path) -> None:
    folder(tmp_path, "walk")
    Image.fromarray(sliding(1)[0]).save(tmp_path / "stand.png")
    found = collection(tmp_path)
    assert {name: footage.kind for name, footage in found.items()} == {
        "walk": FootageKind.FRAMES,
        "stand": FootageKind.PICTURE,
    }


def test_names_join_results_truth_and_sources(tmp_path: Path) -> None:
    ours, true, source = (folder(tmp_path / name, "a", "b") for name in ("ours", "true", "source"))
    items = matched(ours, true, source)
    assert [i.name for i in items] == ["a", "b"]
    first = items[0]
    assert first.result is not None
    assert (first.result.path, first.is_clip) == (ours / "a", True)
    assert first.truth == Footage(FootageKind.FRAMES, true / "a")
    assert first.source == Footage(FootageKind.FRAMES, source / "a")
    assert matched(ours, true, None)[1].source == Footage(FootageKind.FRAMES, true / "b")
    assert matched(ours, None, None)[0].source is None


def test_single_files_go_together_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("out.png", "true.png"):
        Image.fromarray(sliding(1)[0]).save(tmp_path / name)
    (item,) = matched(tmp_path / "out.png", tmp_path / "true.png", None)
    assert item.name == "out"
    assert item.truth == Footage(FootageKind.PICTURE, tmp_path / "true.png")
    assert not item.is_clip


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    ours, true = folder(tmp_path / "ours", "a", "b", "c"), folder(tmp_path / "true", "b", "c", "d")
    assert "no such folder" in refusal(MissingInputError, tmp_path / "nowhere", true)
    assert str(tmp_path / "nowhere") in refusal(MissingInputError, ours, tmp_path / "nowhere")
    told = refusal(MissingInputError, ours, true)
    assert told.startswith(f"{true}: a missing")
    assert "--partial" in told
    assert refusal(MissingInputError, folder(tmp_path / "less", "b", "c"), true).startswith(f"{tmp_path / 'less'}: d")
    assert [i.name for i in matched(ours, true, None, partial=True)] == ["b", "c"]
    (tmp_path / "empty").mkdir()
    assert "no videos, folders of frames or pictures" in refusal(MissingInputError, tmp_path / "empty", None)
    (tmp_path / "notes.txt").write_text("")
    assert "neither a folder nor a video" in refusal(BadInputError, tmp_path / "notes.txt", None)


def test_nothing_matching_shows_names_of_both(tmp_path: Path) -> None:
    ours, true = folder(tmp_path / "ours", "a", "b"), folder(tmp_path / "true", "c", "d", "e", "f", "g")
    told = refusal(BadInputError, ours, true)
    assert "has a, b" in told
    assert "has c, d, e and 2 more" in told


def test_methods_are_compared_on_what_all_have(tmp_path: Path) -> None:
    one, other = (folder(tmp_path / name, *names) for name, names in (("one", "ab"), ("other", "bc")))
    methods = {path.name: matched(path, None, None) for path in (one, other)}
    with pytest.raises(MissingInputError, match="one: c missing, another method has it; --partial"):
        in_common(methods)
    assert {name: [i.name for i in items] for name, items in in_common(methods, partial=True).items()} == {
        "one": ["b"],
        "other": ["b"],
    }
    methods["third"] = matched(folder(tmp_path / "third", "d"), None, None)
    with pytest.raises(BadInputError, match="no name in common"):
        in_common(methods, partial=True)


def test_one_size_and_one_count(tmp_path: Path) -> None:
    ours, true = folder(tmp_path / "ours", "a", count=4), folder(tmp_path / "true", "a", count=3)
    (item,) = matched(ours, true, None)
    with pytest.raises(BadInputError, match=r"has 4 frames, .* 3; --frames 3"):
        check_alike(item, View())
    assert check_alike(item, View(frames=3)) == (HEIGHT, WIDTH)
    save_frames(true / "a", [f[::2, ::2] for f in sliding(4)])
    with pytest.raises(BadInputError, match=r"has 128 x 96 px, .* 64 x 48; --size"):
        check_alike(item, View())
    assert check_alike(item, View(size=(40, 30))) == (40, 30)


def test_a_view_counts_first_frames_at_its_size(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", sliding(5))
    seen = list(View((24, 32), 2).read(Footage(FootageKind.FRAMES, tmp_path / "a")))
    assert [f.rgb.shape for f in seen] == [(24, 32, 3)] * 2
    picture = sliding(1)[0]
    assert resized(picture, None) is picture
    assert resized(picture, (HEIGHT // 2, WIDTH // 2))[3, 5] == pytest.approx(
        picture[6:8, 10:12].mean(axis=(0, 1)), abs=0.51
    )
    assert np.ptp(resized(np.full((4, 4, 3), 77, np.uint8), (9, 9))) == 0
