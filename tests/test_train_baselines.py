"""Rivals and ablations: each is what it says, is trained by the paper's commands, and scored by ``vtryon evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import scenes
import trees
from vtryon.cli.app import app
from vtryon.cli.train import Preset
from vtryon.render.unet import load_renderer
from vtryon.train.baselines import BASELINES
from vtryon.train.tree_warp import TreeWarpTraining
from vtryon.train.tryon import PAPER, PAPER_TREE, TryOnTraining
from vtryon.types import Part
from vtryon.warp.network import MatchingNet, MatchingSize, load_matching
from vtryon.warp.single import lay_single, one_piece

NOWHERE = Path("nowhere")


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, words)), env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result


def test_every_preset_of_the_command_line_is_there() -> None:
    assert {preset.value for preset in Preset} == {"ours", *BASELINES}


@pytest.mark.parametrize("name", BASELINES)
def test_each_changes_what_it_is_about_and_nothing_else(name: str) -> None:
    about, paper = BASELINES[name], TreeWarpTraining(NOWHERE, NOWHERE, NOWHERE)
    changed = about.tree_warp(paper)
    assert (changed.size.lattice == "paper") == (name in ("paper", "without-eq1", "without-flow"))
    assert (changed.weights.length > 0) == (name in ("paper", "without-flow"))
    assert (changed.loop, changed.weights.colour) == (paper.loop, paper.weights.colour)
    pairs = about.warp()
    assert (pairs["size"].lattice, pairs["weights"]) == (changed.size.lattice, changed.weights)
    drawn = TryOnTraining(cache=NOWHERE, folder=NOWHERE, loop=PAPER, **PAPER_TREE)
    renderer = about.tryon(drawn)
    assert (renderer.flow_weight > 0) == (name in ("paper", "without-eq1"))
    assert renderer.size.memory == {"cp-vton": "none", "shineon": "blended"}.get(name, "conditioned")
    assert (renderer.clip_every == 0) == (name == "cp-vton")
    assert (renderer.loop, renderer.perceptual) == (drawn.loop, drawn.perceptual)
    assert name != "paper" or renderer == drawn


def test_the_warp_of_cp_vton_has_fewer_points() -> None:
    size = MatchingSize("cp-vton", joined=False, window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=8)
    torch.manual_seed(0)
    net = MatchingNet(size)
    assert net.head.out_features == 50
    (spline,) = lay_single(net, scenes.scene()[1], one_piece(scenes.garment()))[0].splines
    assert spline.part == Part.TORSO
    assert spline.lattice.shape == (5, 5, 2)
    assert np.isfinite(spline.points).all()


@pytest.mark.slow
def test_a_rival_is_trained_and_scored(tmp_path: Path) -> None:
    name, root = "shineon", trees.clips(tmp_path / "clips")
    common = (
        "--data", root, "--preset", name, "--max-steps", 1, "--batch", 2, "--cache", tmp_path / "cache",
        "--device", "cpu",
    )  # fmt: skip
    run("train", "warp", *common, "--out", tmp_path / "warp")
    warp = tmp_path / "warp" / "warp.safetensors"
    assert load_matching(warp).size.lattice == "cp-vton"
    run("train", "tryon", *common, "--out", tmp_path / "tryon", "--warp", warp)
    renderer = tmp_path / "tryon" / "tryon.safetensors"
    assert load_renderer(renderer).size.memory == "blended"
    scored = run(
        "evaluate", "--data", root, "--warp-weights", warp, "--renderer", renderer, "--region", "frame", "--measures",
        "ssim,warp_ratio", "--json",
    )  # fmt: skip
    (method,) = json.loads(scored.stdout)["methods"]
    assert 0.2 < method["values"]["ssim"] < 1
    assert method["values"]["warp_ratio"] > 0
