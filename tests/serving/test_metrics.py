"""A pool's metrics: what Prometheus' own parser reads is what the pool did."""

from __future__ import annotations

import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.test_pool import Model
from vpp_deploy.errors import DependencyError, EngineOutputError, OutputError, StreamError, UsageError, VideoError
from vpp_deploy.serving import SessionPool
from vpp_deploy.serving.measurements import LATENCY_BOUNDS, Measurements
from vpp_deploy.serving.metrics import parse_address, render, serve_metrics

PATIENCE = 30.0


def values(text: str) -> dict[str, float]:
    """Every sample, by its name and its labels."""
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def pool() -> Iterator[SessionPool]:
    """After three good frames of two streams, of which one is over, and three bad ones."""
    with SessionPool(Model(), workers=2, idle_seconds=60) as pool:
        pool.submit("a", 0, start=True).result(PATIENCE)
        pool.submit("b", 0, start=True).result(PATIENCE)
        pool.submit("a", 1).result(PATIENCE)
        for stream, bad in (("a", VideoError("no picture")), ("b", EngineOutputError("NaN")), ("b", 1)):
            assert pool.submit(stream, bad).exception(PATIENCE)
        pool.snapshot("a").result(PATIENCE)
        pool.end("b")
        yield pool


def test_the_numbers_are_the_pool_s(pool: SessionPool) -> None:
    found = values(render(pool))
    expected = {
        "vpp_streams": 1,
        "vpp_waiting_frames": 0,
        "vpp_frames_total": 3,
        "vpp_dropped_frames_total": 0,
        "vpp_expired_streams_total": 0,
        "vpp_errors_total kind=VideoError": 1,
        "vpp_errors_total kind=EngineOutputError": 1,
        "vpp_errors_total kind=StreamError": 1,
        "vpp_frame_latency_seconds_count": 3,
        "vpp_frame_latency_seconds_bucket le=+Inf": 3,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert pool.statistics.failed == 3


def test_latency_is_a_cumulative_histogram_and_kept_tokens_add_up() -> None:
    measured = Measurements()
    for seconds in (0.0, 0.005, 0.006, 3.0, 1000.0):
        measured.add(seconds, SimpleNamespace(kept={"early": range(7), "late": range(3)}))
    assert measured.latency.counts == (2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1)
    assert measured.kept == {"early": 35, "late": 15}
    state = SimpleNamespace(
        streams=0, waiting=0, done=5, dropped=2, expired=0, errors={}, kept=measured.kept, latency=measured.latency
    )
    stand_in: Any = SimpleNamespace(statistics=state)
    found = values(render(stand_in))
    buckets = [found[f"vpp_frame_latency_seconds_bucket le={bound}"] for bound in map(str, LATENCY_BOUNDS)]
    assert buckets == [2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4]
    assert found["vpp_frame_latency_seconds_bucket le=+Inf"] == found["vpp_frame_latency_seconds_count"] == 5
    assert found["vpp_frame_latency_seconds_sum"] == pytest.approx(1003.011)
    assert found["vpp_kept_tokens_total point=late"] == 15
    assert found["vpp_dropped_frames_total"] == 2


def test_they_are_served_on_this_machine_alone_until_the_block_ends(pool: SessionPool) -> None:
    other = Gauge("age_of_results", "Seconds.", registry=None)
    other.set(0.25)
    with serve_metrics(pool, "0", other) as address:
        assert address.host == "127.0.0.1"
        with urllib.request.urlopen(address.url, timeout=PATIENCE) as answer:
            text = answer.read().decode()
        assert values(text)["vpp_frames_total"] == 3
        assert values(text)["age_of_results"] == 0.25
        with pytest.raises(OutputError, match=r"cannot be served at '127\.0\.0\.1:\d+': .*in use"):
            serve_metrics(pool, f"127.0.0.1:{address.port}").__enter__()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address.url, timeout=PATIENCE)
    with serve_metrics(pool, f"127.0.0.1:{address.port}"):  # and it is free again
        pass


@pytest.mark.parametrize("text", ["", "host", "127.0.0.1:", ":9100", "a b:1", "127.0.0.1:65536", "::1:80", "9100\n"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not HOST:PORT, such as 127\.0\.0\.1:9100"):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("9100").url == "http://127.0.0.1:9100/metrics"
    assert parse_address("0.0.0.0:1") == ("0.0.0.0", 1)
    assert parse_address("[::1]:80").url == "http://[::1]:80/metrics"


def test_without_prometheus_client_it_says_what_to_install(pool: SessionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(DependencyError, match=r"pip install 'vpp-deploy\[metrics\]'"):
        render(pool)


def test_log_records_say_whose_they_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vpp_deploy.serving")
    with SessionPool(Model(), workers=1) as pool:
        pool.submit("cam\n1", 0, start=True).result(PATIENCE)
        with pytest.raises(EngineOutputError):
            pool.submit("cam\n1", EngineOutputError("NaN")).result(PATIENCE)
        with pytest.raises(StreamError):
            pool.submit("cam\n1", 1).result(PATIENCE)
        pool.end("cam\n1")
    assert {getattr(record, "stream", None) for record in caplog.records} == {"cam\n1"}
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == r"stream 'cam\n1' begins"
    assert lines[1] == r"stream 'cam\n1': EngineOutputError: NaN"
    assert lines[-1] == r"stream 'cam\n1' ends"
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING", "INFO"]
