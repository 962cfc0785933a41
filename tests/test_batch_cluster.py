"""A batch on a Ray cluster of two nodes on this machine, one of which is lost half way."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import media
from vtryon.cli.app import app

TESTS = str(Path(__file__).parent)

ALL = ("batch", "--persons", "p/*.mp4", "--garments", "g/*.jpg", "--out-dir", "out", "--ray", "auto")

FRAMES = 12


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two persons and three garments, in the folder we are in."""
    for name in ("p", "g"):
        (tmp_path / name).mkdir()
    for n, name in enumerate("ab"):
        media.make(tmp_path / f"p/{name}.mp4", media.Spec(count=FRAMES + n))
    for name in "xyz":
        (tmp_path / f"g/{name}.jpg").write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VTRYON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vtryon.reuse.device_type", lambda _: "cpu")
    return tmp_path


def batch(*words: str) -> Result:
    return CliRunner().invoke(app, [*ALL, *words])


def report() -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in Path("out/batch.report.jsonl").read_text().splitlines()]
    told = {Path(row["output"]).stem: row for row in rows}
    assert len(told) == len(rows)
    return told


class Nodes:
    """A head and another node, a core each, with stand-ins in every worker."""

    def __init__(self, folder: Path) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.cache = folder / "cache"
        self.count = folder / "count"
        # a node counts as lost after five seconds of silence, not fifteen
        quick = {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 1000,
            "health_check_failure_threshold": 5,
        }
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": quick}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._other = self._cluster.add_node(num_cpus=1)
        self._cluster.wait_for_nodes()
        environment = {
            "PYTHONPATH": os.pathsep.join([TESTS, *sys.path]),
            "VTRYON_CACHE": str(self.cache),
            "VTRYON_FAKE_DELAY": "0.05",
            "VTRYON_FAKE_COUNT": str(self.count),
        }
        ray.init(
            address=self._cluster.address,
            runtime_env={"worker_process_setup_hook": "fakes.install", "env_vars": environment},
            log_to_driver=False,
        )

    def lose_one(self) -> None:
        """Kill a node and all its workers."""
        self._cluster.remove_node(self._other, allow_graceful=False)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    pytest.importorskip("ray", reason='Ray is not installed: the extra "ray"')
    given = Nodes(tmp_path_factory.mktemp("nodes"))
    yield given
    given.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_node_costs_no_row(nodes: Nodes) -> None:
    Path("p/c.mp4").write_bytes(b"no video")

    def lose_one() -> None:
        while not list(Path("out").glob("*.mp4")):
            time.sleep(0.02)
        nodes.lose_one()

    losing = threading.Thread(target=lose_one, daemon=True)
    losing.start()
    result = batch()
    losing.join(30)
    assert result.exit_code == 3, result.output
    told = report()
    assert {name: (row["status"], row["code"]) for name, row in told.items()} == {
        **{f"{p}_{g}": ("done", 0) for p in "ab" for g in "xyz"},
        **{f"c_{g}": ("failed", 65) for g in "xyz"},
    }
    assert "p/c.mp4" in told["c_x"]["error"]
    assert [told[name]["frames"] for name in ("a_x", "b_z")] == [FRAMES, FRAMES + 1]
    for name in sorted(told)[:6]:
        assert len(media.packets(Path(f"out/{name}.mp4"), "video")) == told[name]["frames"]
    assert not list(Path("out").glob(".*"))
    assert 2 <= nodes.count.read_text().count("analysed") <= 4  # for six rows; what was under way is done again
    assert batch("--fail-fast").exit_code == 3
    statuses = {name: row["status"] for name, row in report().items()}
    assert {statuses.pop(f"{p}_{g}") for p in "ab" for g in "xyz"} == {"skipped"}
    assert "failed" in statuses.values()


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason='Ray is not installed: the extra "ray"')

    def nowhere(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", nowhere)
    result = batch()
    assert result.exit_code == 69
    assert "--ray auto: no cluster there" in result.stderr
    assert "ray start --head" in result.stderr


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = batch()
    assert result.exit_code == 69
    assert "pip install ray" in result.stderr
