"""`raybatch plan`: its arithmetic, its measurements, and the command."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybatch as rb
from raybatch.batchup.data_source import BadSample
from raybatch.bench.needs import BatchCosts, measure_costs, needs_for
from raybatch.order.quality import shuffle_quality
from tests.cli.commands import run

COSTS = BatchCosts(
    batch_size=64,
    nbytes=9_600_000,
    file_bytes=3_000_000,
    actor_s=0.09,
    waiting_share=0.75,
    driver_s=0.0005,
)


def test_what_a_rate_needs() -> None:
    needs = needs_for(COSTS, 6400)
    # 100 batches per second take 9 s of actor time, and an actor is busy for 0.9 of the time.
    assert needs.actors == 10
    assert needs.cores == 3
    assert needs.window_batches == 22
    assert needs.store_bytes == 22 * 9_600_000
    assert needs.network_bit_s == pytest.approx(100 * 9_600_000 * 8)
    assert needs.storage_bit_s == pytest.approx(100 * 3_000_000 * 8)
    assert needs.driver_cores == pytest.approx(0.05)
    assert needs.warning is None


def test_the_smallest_plan_has_one_actor() -> None:
    needs = needs_for(COSTS, 0.001)
    assert (needs.actors, needs.cores) == (1, 1)


def test_more_than_a_consumer_can_receive() -> None:
    needs = needs_for(COSTS, 128_000)
    assert needs.driver_cores == pytest.approx(1.0)
    assert needs.largest_images_per_s == pytest.approx(64_000)
    assert needs.warning is not None
    assert "should receive at most 64000" in needs.warning


class Slow:
    """20 rows; a batch of them waits for 0.15 s and takes 0.05 s of processor time."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: Any) -> Any:
        time.sleep(0.15)
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        return np.zeros((len(index), 1000), np.uint8)


def test_costs_are_measured() -> None:
    source = rb.ArrayDataSource([Slow()])
    costs = measure_costs(source, 8, rb.ThreadPool(1), 4, 50.5)
    assert (costs.batch_size, costs.nbytes, costs.file_bytes) == (8, 8000, 404)
    # A batch takes 0.2 s, and waits for 0.75 of that time. On a busy machine, it also waits for the
    # processor.
    assert 0.19 < costs.actor_s < 0.75
    assert 0.5 < costs.waiting_share < 0.95
    assert measure_costs(source, 20, rb.ThreadPool(1), 1, 50.5).nbytes == 20000
    few = "a data set of 20 samples is smaller than a batch of 21: use a smaller batch size"
    with pytest.raises(ValueError, match=few):
        measure_costs(source, 21, rb.ThreadPool(1), 4, 50.5)
    with pytest.raises(ValueError, match="a data set of 1 sample is"):
        measure_costs(rb.ArrayDataSource([np.zeros(1)]), 2, rb.ThreadPool(1), 4, 50.5)


def test_the_command(photos: list[str], tmp_path: Path, ray_cluster: None) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "32", "--batch-size", "8", "--batches", "4"]
    # A machine that is busy with other tests can receive this rate too.
    result = run("plan", folder, "--rate", "9", *options, "--json", folder=tmp_path)
    figures = json.loads(result.stdout)
    batch, needs = figures["batch"], figures["needs"]
    assert batch["nbytes"] == 8 * (32 * 32 * 3 + 4)
    sizes = [Path(path).stat().st_size for path in photos]
    assert batch["file_bytes"] == pytest.approx(8 * np.mean(sizes), rel=1e-3)
    assert needs["actors"] >= 1
    trained = run("plan", folder, "--rate", "9", "--transform", "train", *options, folder=tmp_path)
    assert "One actor makes" in trained.stdout
    assert needs["network_bit_s"] == pytest.approx(9 / 8 * batch["nbytes"] * 8)
    assert figures["warning"] is None


def test_of_parquet_files_it_says_how_well_they_are_mixed(
    photos: list[str], tmp_path: Path, ray_cluster: None
) -> None:
    cells = [{"bytes": Path(path).read_bytes(), "path": path} for path in photos]
    for part in range(2):
        table = pa.table({"image": cells[part::2]})
        pq.write_table(table, tmp_path / f"{part}.parquet", row_group_size=5)
    options = ["--size", "16", "--batch-size", "8", "--batches", "2", "--rate", "9"]
    result = run("plan", str(tmp_path), *options, "--row-groups", "2", "--json", folder=tmp_path)
    figures = json.loads(result.stdout)
    nbytes = sum(path.stat().st_size for path in tmp_path.glob("*.parquet"))
    assert figures["batch"]["file_bytes"] == pytest.approx(8 * nbytes / 40, abs=1)
    assert figures["shuffle"] == shuffle_quality([5] * 8, 2)._asdict()
    shown = " ".join(run("plan", str(tmp_path), *options, folder=tmp_path).stdout.split())
    assert (
        "within 4 of the 8 row groups at a time. 20.5% of them follow a sample of the same group"
        in shown
    )


@pytest.mark.parametrize("rate", ["0", "inf", "nan", "1e13", "many"])
def test_a_rate_that_is_none_is_told(rate: str, tmp_path: Path) -> None:
    said = run("plan", str(tmp_path), "--rate", rate, folder=tmp_path, status=2).stderr
    assert f"{rate!r} is not a number above 0 and at most" in said


@pytest.mark.slow
def test_what_is_excluded_is_not_measured(
    photos: list[str], tmp_path: Path, ray_cluster: None
) -> None:
    for path in photos[:8]:
        shutil.copy(path, tmp_path)
    (tmp_path / "z.jpg").write_text("no image")
    ledger = rb.BadSampleLedger([BadSample(8, "error", "broken", str(tmp_path / "z.jpg"))])
    ledger.save(tmp_path / "bad.jsonl")
    options = ["--rate", "9", "--size", "16", "--batch-size", "4", "--batches", "2", "--json"]
    exclude = ["--exclude", str(tmp_path / "bad.jsonl")]
    result = run("plan", str(tmp_path), *options, *exclude, folder=tmp_path)
    sizes = [Path(path).stat().st_size for path in photos[:8]]
    assert json.loads(result.stdout)["batch"]["file_bytes"] == round(4 * np.mean(sizes))


@pytest.mark.slow
def test_the_command_says_what_is_too_much(
    photos: list[str], tmp_path: Path, ray_cluster: None
) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "16", "--batch-size", "4", "--batches", "2"]
    result = run("plan", folder, "--rate", "1e9", *options, folder=tmp_path, status=1)
    assert "use larger batches" in result.stdout
    result = run("plan", folder, "--rate", "9", "--batch-size", "41", folder=tmp_path, status=2)
    assert "a data set of 40 samples is smaller than a batch of 41" in result.stderr
