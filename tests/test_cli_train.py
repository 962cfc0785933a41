"""``vtryon train``: options to the library's configurations, one line or JSON out, one line for what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from conftest import ROOT
from vtryon.cli.app import app
from vtryon.train import garment, parser, placing, refine, tree_warp, tryon, warp

NETWORKS = ("parser", "placing", "warp", "garment", "tryon", "refine")


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that a stand-in for the trainings was called with."""
    seen: list[Any] = []

    def stand_in(config: Any, on_step: Any, on_picture: Any = None, _ranks: Any = None) -> dict[str, float]:
        seen.append(config)
        if callable(on_picture):
            on_picture("pictures", 1, 1)
        on_step(0, {"loss": 1.0})
        return {"mean": 0.5}

    monkeypatch.setattr(parser, "train_parser", stand_in)
    monkeypatch.setattr(placing, "train_placing", stand_in)
    monkeypatch.setattr(warp, "train_warp", stand_in)
    monkeypatch.setattr(tree_warp, "train_warp_tree", stand_in)
    monkeypatch.setattr(garment, "train_garment", stand_in)
    monkeypatch.setattr(tryon, "train_tryon", stand_in)
    monkeypatch.setattr(refine, "train_refine", stand_in)
    return seen


@pytest.mark.parametrize("network", NETWORKS)
def test_options_reach_the_training(network: str, trained: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train(network, "--data", tmp_path, "--out", out, "--steps", 7, "--batch", 3, "--seed", 5, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["weights"] == str(out / f"{network}.safetensors")
    assert (record["steps"], record["measures"]) == (7, {"mean": 0.5})
    (config,) = trained
    assert (config.loop.steps, config.loop.batch, config.loop.seed) == (7, 3, 5)
    assert config.folder == out


def test_defaults_are_the_shipped_recipes(trained: list[Any], tmp_path: Path) -> None:
    for network in NETWORKS:
        result = train(network, "--data", tmp_path, "--out", tmp_path / "run")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{tmp_path / 'run' / network}.safetensors: ")
    assert trained[0] == parser.ParserTraining(cache=tmp_path / "run" / "cache", folder=tmp_path / "run", data=tmp_path)
    assert trained[1] == placing.PlacingTraining(tmp_path / "pairs", tmp_path / "run")
    assert trained[2] == warp.WarpTraining(tmp_path / "pairs", tmp_path / "run")
    assert trained[3] == garment.GarmentTraining(data=tmp_path, folder=tmp_path / "run")
    assert trained[4] == tryon.TryOnTraining(cache=tmp_path / "run" / "cache", folder=tmp_path / "run", data=tmp_path)
    assert trained[5] == refine.RefineTraining(cache=tmp_path / "run" / "cache", folder=tmp_path / "run", data=tmp_path)


def test_the_papers_recipe_has_a_name(trained: list[Any], tmp_path: Path) -> None:
    words = ("--data", tmp_path, "--out", tmp_path / "run", "--preset", "paper", "--steps", 9, "--device", "cpu")
    assert train("warp", *words).exit_code == 0
    (config,) = trained
    assert (config.size.lattice, config.start, config.device) == ("paper", "flat", "cpu")
    assert (config.loop.peak_rate, config.loop.steps) == (2e-5, 9)
    assert train("tryon", *words).exit_code == 0
    assert trained[1].loop == replace(tryon.PAPER, steps=9)


def documented() -> list[str]:
    """The training commands of README and of the page on data sets."""
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/DATASETS.md")]
    lines = [line.split("#")[0].strip() for text in texts for line in text.splitlines() if "--data VVT" in line]
    return [line for line in lines if re.match(r"(vtryon|torchrun .* -m vtryon) train ", line)]


@pytest.mark.parametrize("line", documented())
def test_documented_commands_train_on_a_data_set(
    line: str, trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "VVT" / "lip_train_frames").mkdir(parents=True)
    words = line.split(" train ")[1].split()
    assert train(*words).exit_code == 0
    (config,) = trained
    assert Path("VVT") in (getattr(config, "tree", None), config.data)
    assert config.loop.steps == 0  # as many as its epochs
    assert config.loop.stop == (2 if "--max-steps" in words else None)


def test_a_short_run_may_learn_faster(trained: list[Any], tmp_path: Path) -> None:
    words = ("--data", tmp_path, "--out", tmp_path / "run", "--preset", "paper", "--rate", 0.003)
    assert train("warp", *words).exit_code == 0
    assert train("tryon", *words, "--small-steps", 5).exit_code == 0
    assert [config.loop.peak_rate for config in trained] == [0.003, 0.003]
    assert trained[1].loop == replace(tryon.PAPER, peak_rate=0.003)
    assert trained[1].small_steps == 5


def test_the_parser_takes_a_cache_and_its_share_of_small_crops(trained: list[Any], tmp_path: Path) -> None:
    words = ("--cache", tmp_path / "kept", "--small-steps", 0, "--device", "cpu")
    assert train("parser", "--data", tmp_path, "--out", tmp_path, *words).exit_code == 0
    assert (trained[0].cache, trained[0].small_steps, trained[0].device) == (tmp_path / "kept", 0, "cpu")


@pytest.mark.parametrize("network", NETWORKS)
def test_missing_data_is_one_line_and_leaves_nothing(network: str, tmp_path: Path) -> None:
    result = train(network, "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert result.exit_code == 66
    assert result.stderr.startswith(f"vtryon: error: {tmp_path / 'nowhere'}")
    assert "--data" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_stop_says_that_the_run_can_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(placing, "train_placing", stopped)
    result = train("placing", "--data", tmp_path, "--out", tmp_path)
    assert result.exit_code == 130
    assert "goes on from the last state" in result.stderr
