"""Measures of others: known answers, the right direction, agreement with a second implementation, and missing files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from moving import noisy, sliding
from vtryon.evaluate import pretrained
from vtryon.evaluate.networks import LEAST, LOGITS, Distributions, Lpips, Vmaf, inception, luma
from vtryon.evaluate.pretrained import BACKBONES, INCEPTION, Pretrained
from vtryon.evaluate.similarity import ssim
from vtryon.types import Array

pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")

CPU = torch.device("cpu")


def vmaf(truth: Sequence[Array], result: Sequence[Array]) -> list[float]:
    found = Vmaf(CPU)
    for pair in zip(truth, result, strict=True):
        found.add(*pair)
    return found.finish()


def test_vmaf_of_the_truth_itself_is_at_its_top() -> None:
    scores = vmaf(sliding(), sliding())
    assert len(scores) == 6
    assert scores[0] == pytest.approx(97.43, abs=0.05), "without motion, as libvmaf"
    assert min(scores[1:]) > 97


def test_vmaf_falls_with_noise_and_with_swapped_frames() -> None:
    clean = sliding(step=(3.0, 0.0))
    means = [np.mean(vmaf(clean, noisy(clean, sigma))) for sigma in (0, 10, 30)]
    assert means[0] > means[1] > means[2]
    swapped = [clean[n] for n in (0, 2, 1, 3, 4, 5)]
    assert np.mean(vmaf(clean, swapped)) < means[0] - 10


def test_vmaf_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = sliding(9, step=(2.0, 1.0))
    result = noisy(truth, 12)
    whole = vmaf(truth, result)
    for size in (3, 4, 9):
        monkeypatch.setattr("vtryon.evaluate.networks._VMAF_CHUNK", size)
        assert vmaf(truth, result) == pytest.approx(whole, abs=1e-3)


def test_vmaf_wants_room() -> None:
    small = [f[:LEAST, :LEAST].copy() for f in sliding(2)]
    assert len(vmaf(small, small)) == 2


def test_luma_is_that_of_bt601() -> None:
    patches = np.array([[(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)]], np.uint8)
    assert luma(patches)[0] == pytest.approx([16, 235, 81.5, 144.6], abs=0.1)


def stand_in(features: int) -> object:
    """The first ``features`` grey values of a picture and their logits: a network whose answers are known."""

    def extract(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = pictures[:, 0].flatten(1)[:, :features].float()
        logits = torch.full((len(pictures), LOGITS), -40.0)
        logits[torch.arange(len(pictures)), pictures[:, 1, 0, 0].long()] = 40.0
        return values, logits

    return extract


def distributions(real: Sequence[Array], results: Sequence[Array], features: int = 6) -> Distributions:
    found = Distributions(stand_in(features), CPU, features=features, batch=4)  # type: ignore[arg-type]
    for is_real, pictures in ((True, real), (False, results)):
        for picture in pictures:
            found.add(picture, real=is_real)
    return found


def pictures(count: int, seed: int, shift: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [(rng.integers(20, 200, (4, 4, 3)) + shift).astype(np.uint8) for _ in range(count)]


def test_fid_of_equal_sets_is_nothing_and_of_shifted_ones_the_squared_shift() -> None:
    real = pictures(40, 0)
    assert distributions(real, real).fid() == pytest.approx(0, abs=0.02)
    assert distributions(real, real[::-1]).fid() == pytest.approx(0, abs=0.02), "order does not matter"
    assert distributions(real, pictures(40, 0, shift=5)).fid() == pytest.approx(6 * 25, rel=1e-3)
    assert (distributions(real, pictures(40, 0, shift=10)).fid() or 0) > 500


def test_fid_agrees_with_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    real, ours = pictures(50, 1), pictures(30, 2, shift=7)
    a, b = (np.array([p[..., 0].ravel()[:6] for p in some], float) for some in (real, ours))
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert distributions(real, ours).fid() == pytest.approx(expected, rel=1e-3)


def test_too_few_pictures_have_no_fid() -> None:
    assert distributions(pictures(5, 0), pictures(1, 1)).fid() is None
    assert distributions([], []).inception_score() is None


def classed(classes: Sequence[int]) -> list[Array]:
    return [np.full((4, 4, 3), c, np.uint8) for c in classes]


def test_inception_score_counts_sure_and_different_classes() -> None:
    assert distributions([], classed([7] * 40)).inception_score() == pytest.approx(1)
    many = distributions([], classed([n % 4 for n in range(4000)]))
    assert many.inception_score() == pytest.approx(4, rel=0.02)
    uneven = np.random.default_rng(0).integers(0, 9, 57).tolist()
    first, again = (distributions([], classed(uneven)).inception_score() for _ in range(2))
    assert first == again, "the same order every time"


def test_the_next_method_meets_the_same_real_pictures() -> None:
    real = pictures(40, 0)
    found = distributions(real, pictures(40, 0, shift=5))
    first = found.fid()
    found.new_results()
    for picture in real:
        found.add(picture, real=False)
    assert found.fid() == pytest.approx(0, abs=0.02)
    assert first == pytest.approx(6 * 25, rel=1e-3)
    assert found.counts == {True: 40, False: 40}


def stored(folder: Path, kind: Pretrained, net: torch.nn.Module) -> Pretrained:
    """The kind with the file of ``net`` in ``folder``, whatever it holds."""
    torch.save(net.state_dict(), folder / kind.file)
    digest = hashlib.sha256((folder / kind.file).read_bytes()).hexdigest()
    return replace(kind, sha256=digest[:8])


def test_weights_that_are_missing_or_others_say_so(tmp_path: Path) -> None:
    missing = INCEPTION.find(tmp_path)
    assert missing == f"needs {tmp_path / INCEPTION.file} ({INCEPTION.source})"
    (tmp_path / INCEPTION.file).write_bytes(b"a half of it")
    damaged = INCEPTION.find(tmp_path)
    assert isinstance(damaged, str)
    assert "is damaged or another file" in damaged
    kind = stored(tmp_path, INCEPTION, torch.nn.Linear(2, 2))
    assert kind.find(tmp_path) == tmp_path / INCEPTION.file


def test_every_known_file_carries_its_hash_in_its_name() -> None:
    for kind in (INCEPTION, *BACKBONES.values()):
        assert kind.file.endswith(f"-{kind.sha256}.pth")


def test_lpips_with_a_given_backbone(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    before = torch.hub.get_dir()
    kind = stored(tmp_path, BACKBONES["squeeze"], squeezenet1_1(weights=None))
    path = kind.find(tmp_path)
    assert isinstance(path, Path)
    lpips = Lpips(path, "squeeze", CPU)
    assert torch.hub.get_dir() == before
    clean = sliding(1)
    assert lpips(clean[0], clean[0]) == pytest.approx(0, abs=1e-6)
    ours, true = (
        torch.from_numpy(p).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (noisy(clean, 10)[0], clean[0])
    )
    expected = float(lpips._metric.net(ours, true).detach())
    assert lpips(noisy(clean, 10)[0], clean[0]) == pytest.approx(expected, rel=1e-4), "RGB in [-1, 1]"
    near, far = (lpips(noisy(clean, sigma)[0], clean[0]) for sigma in (10, 40))
    assert 0 < near < far
    assert lpips(noisy(clean, 10)[0], clean[0]) == near, "nothing is kept from picture to picture"


@pytest.mark.slow
def test_inception_with_given_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were fetched")

    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(Inception, "load_state_dict", lambda *_: None)
    net = Inception("inception-v3-compat", ["2048"])
    monkeypatch.undo()
    kind = stored(tmp_path, pretrained.INCEPTION, net)
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", never)
    path = kind.find(tmp_path)
    assert isinstance(path, Path)
    features, logits = inception(path, CPU)(torch.zeros(2, 3, 40, 30, dtype=torch.uint8))
    assert features.shape == (2, 2048)
    assert logits.shape == (2, LOGITS)


def test_ssim_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    one = sliding(1)[0]
    for other in (noisy([one], 15)[0], sliding(1, seed=4)[0], one):
        a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (one, other))
        inner = structural_similarity_index_measure(a, b, data_range=255.0, return_full_image=True)[1]
        assert ssim(one, other) == pytest.approx(float(inner[..., 5:-5, 5:-5].mean()), abs=1e-3)
