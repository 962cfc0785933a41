from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vtryon import weights
from vtryon.errors import BadInputError, CannotCreateError, UnavailableError


def checkpoint() -> weights.Checkpoint:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    return weights.Checkpoint("parser", {"widths": [4, 8]}, ("BACKGROUND", "HAIR"), tensors, {"steps": 5})


def test_round_trip_keeps_description_and_values_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "parser.safetensors"
    weights.save(path, checkpoint())
    read = weights.load(path, "parser")
    assert (read.size, read.labels, read.notes) == ({"widths": [4, 8]}, ("BACKGROUND", "HAIR"), {"steps": 5})
    assert read.tensors["a"].dtype == torch.float16
    assert torch.equal(read.tensors["a"].float(), checkpoint().tensors["a"])
    assert read.tensors["n"].item() == 3
    assert [p.name for p in tmp_path.iterdir()] == ["parser.safetensors"]


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path))
    with pytest.raises(UnavailableError, match="VTRYON_WEIGHTS"):
        weights.find("parser")
    weights.save(tmp_path / "parser.safetensors", checkpoint())
    assert weights.find("parser") == tmp_path / "parser.safetensors"
    digest = hashlib.sha256((tmp_path / "parser.safetensors").read_bytes()).hexdigest()
    assert weights.listing() == {"parser": digest}


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    weights.save(tmp_path / "w.safetensors", checkpoint())
    with pytest.raises(BadInputError, match="'parser' network, a 'tps' is needed"):
        weights.load(tmp_path / "w.safetensors", "tps")


def test_a_newer_format_asks_for_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(weights, "FORMAT", weights.FORMAT + 1)
    weights.save(path, checkpoint())
    monkeypatch.undo()
    with pytest.raises(BadInputError, match="update vtryon"):
        weights.load(path, "parser")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    pickled = tmp_path / "pickled.safetensors"
    torch.save({"a": torch.ones(1)}, pickled)
    bare = tmp_path / "bare.safetensors"
    save_file({"a": torch.ones(1)}, bare)
    for path in (pickled, bare):
        with pytest.raises(BadInputError, match=path.name):
            weights.load(path, "parser")
    with pytest.raises(UnavailableError, match="absent"):
        weights.load(tmp_path / "absent.safetensors", "parser")


def test_a_folder_that_is_not_there_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CannotCreateError, match=r"w\.safetensors"):
        weights.save(tmp_path / "no" / "w.safetensors", checkpoint())


def test_a_network_is_built_with_its_weights_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "parser.safetensors"
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    weights.save(path, weights.Checkpoint("parser", {"out": 3}, (), net.state_dict()))

    def build(found: weights.Checkpoint) -> torch.nn.Sequential:
        return torch.nn.Sequential(torch.nn.Linear(2, found.size["out"]), torch.nn.BatchNorm1d(found.size["out"]))

    again = weights.built(path, "parser", build)
    assert not again.training
    assert again[0].weight.dtype == torch.float32
    assert torch.equal(again[0].weight, net[0].weight.half().float())
    assert again[1].num_batches_tracked.dtype == torch.int64
    for wrong in (lambda _: torch.nn.Linear(5, 5), lambda found: torch.nn.Linear(2, found.size["in"])):
        with pytest.raises(BadInputError, match=r"parser\.safetensors: the weights do not fit"):
            weights.built(path, "parser", wrong)
