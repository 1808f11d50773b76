"""The metrics of loaders on Ray actors in Prometheus, and the dashboard and alerts for them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest

from raybatch.pools.ray.metrics import COUNTERS, GAUGES, STAGE_SECONDS, WORKER_DEATHS
from tests.drivers import start, wait_for
from tests.servers import free_port

CLUSTER = Path(__file__).parents[2] / "cluster"
EXPORTED = {
    *(f"ray_{name}_total" for name in (*COUNTERS, STAGE_SECONDS, WORKER_DEATHS)),
    *(f"ray_{name}" for name in GAUGES),
}

# One epoch of 40 batches, with one unreadable sample and one killed actor.
PROGRAM = """
import logging, ray
from tests.drivers import actor_processes, an_actor

class Faulty(Rows):
    def __getitem__(self, index):
        if 7 in np.atleast_1d(index): raise ValueError("seven")
        return super().__getitem__(index)

ray.init(
    address="local", num_cpus=2, include_dashboard=False, logging_level=logging.ERROR,
    _metrics_export_port=int(sys.argv[1]), _system_config={"metrics_report_interval_ms": 300},
)
source = rb.ArrayDataSource([Faulty()], indices=np.arange(200))
with rb.RayActorPool(2) as pool:
    loader = rb.Loader(source, 5, pool=pool, bad_samples="skip", name="train")
    pool.wait_until_up()
    for number, batch in enumerate(loader):
        if number == 8: an_actor().kill()
    say(retries=loader._journal.retries, hedges=loader._journal.hedges)
    input()
"""


def scrape(port: int) -> dict[str, dict[str, float]]:
    """Return the values of raybatch's metrics by name, and then by loader and stage."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for name, labels, value in re.findall(r"^(ray_raybatch_\w+)\{(.*)\} (\S+)$", text, re.M):
        own = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        assert own["NodeAddress"]
        values[name][f"{own.get('loader', '')} {own.get('stage', '')}".strip()] = float(value)
    return values


def test_prometheus_gets_the_figures_of_an_epoch_with_faults() -> None:
    for module in ("aiohttp_cors", "opencensus", "opentelemetry", "prometheus_client", "grpc"):
        pytest.importorskip(module)  # pip install 'raybatch[metrics]'
    port = free_port()
    found: dict[str, dict[str, float]] = {}

    def is_over() -> bool:
        found.clear()
        found.update(scrape(port))
        # The end of the loop sets the window to 0, which Ray may export after the last images.
        return found.get("ray_raybatch_images_total") == {"train": 199} and found.get(
            "ray_raybatch_window_batches"
        ) == {"train": 0}

    with start(PROGRAM, arguments=[str(port)]) as driver:
        said = driver.listen()
        wait_for(is_over, "the images are counted, and no loop runs", 60)
    assert found["ray_raybatch_batches_total"] == {"train": 40}
    assert found["ray_raybatch_bytes_total"] == {"train": 199 * 1250 * 8}
    assert found["ray_raybatch_bad_samples_total"] == {"train": 1}
    assert found["ray_raybatch_worker_deaths_total"] == {"": 1}
    assert found["ray_raybatch_retries_total"] == {"train": int(said["retries"])}
    assert 1 <= int(said["retries"]) <= 6  # the killed actor's batch, and the batches in its queue
    assert found.get("ray_raybatch_hedges_total", {"train": 0}) == {"train": int(said["hedges"])}
    assert found["ray_raybatch_wait_seconds_total"]["train"] > 0
    assert found["ray_raybatch_stage_seconds_total"]["train other"] > 0.9 * 200 * 0.004
    assert found.keys() | {"ray_raybatch_hedges_total"} == EXPORTED


def used_in(text: str) -> set[str]:
    return set(re.findall(r"\bray_raybatch_\w+", text))


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    text = (CLUSTER / "grafana-dashboard.json").read_text()
    dashboard = json.loads(text)
    assert used_in(text) == EXPORTED
    places = {tuple(panel["gridPos"].values()) for panel in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"]) >= 8
    assert all(panel["targets"] for panel in dashboard["panels"])


def test_the_alerts_are_for_metrics_that_there_are() -> None:
    yaml = pytest.importorskip("yaml")
    text = (CLUSTER / "prometheus-rules.yaml").read_text()
    (group,) = yaml.safe_load(text)["groups"]
    assert {rule["alert"] for rule in group["rules"]} == {
        "RaybatchConsumerWaits",
        "RaybatchConsumerStands",
    }
    for rule in group["rules"]:
        assert used_in(rule["expr"]) <= EXPORTED
        assert used_in(rule["expr"])
