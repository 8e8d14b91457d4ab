"""What operators see: health, numbers for Prometheus, and the console."""

from __future__ import annotations

import json
import logging
import re

import pytest

from bursar.core.errors import DatabaseUnavailable
from bursar.service.logs import JsonLines, TextLines
from bursar.service.metrics import BUCKETS, Metrics
from tests.service.conftest import Service

V1 = "/api/v1"
LINE = re.compile(r'# (HELP|TYPE) \w+ .+|\w+({\w+="[^"]*"(,\w+="[^"]*")*})? (\d+(\.\d+)?(e[+-]\d+)?|\+Inf)')


async def test_health(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await service.client()
    for path in ("/healthz", "/readyz", f"{V1}/healthz", f"{V1}/readyz"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    async def gone(_: object) -> None:
        raise DatabaseUnavailable("it is gone")

    monkeypatch.setattr(service.context.engine.store, "read", gone)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert (await client.get("/healthz")).status_code == 200


async def test_metrics(service: Service) -> None:
    await service.account("alice", 3)
    path = f"{V1}/accounts/alice/charges"
    for _ in range(2):
        await service.admin.post(path, json={"amount": 1}, headers={"Idempotency-Key": "a"})
    await service.admin.post(path, json={"amount": 9})
    await service.admin.post(path, json={"amount": -1})
    await service.admin.post(f"{V1}/charges/batch", json={"charges": [{"account": "alice", "amount": 1}]})
    answer = await (await service.client()).get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    for line in lines:
        assert LINE.fullmatch(line), line
    for line in (
        'bursar_commands_total{verb="charge"} 2',
        'bursar_replays_total{verb="charge"} 1',
        'bursar_rejections_total{verb="charge",code="insufficient_credits"} 1',
        'bursar_rejections_total{verb="charge",code="invalid"} 1',
        'bursar_command_seconds_count{verb="charge"} 3',
        "bursar_queue_depth 0",
        "# TYPE bursar_batches_total counter",
    ):
        assert line in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_a_histogram_is_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.0001, 0.001, 0.003, 99.0):
        metrics.did("charge", replayed=False, seconds=seconds)
    buckets = re.findall(r'bursar_command_seconds_bucket{.*le="(.+)"} (\d+)', metrics.text([]))
    assert [count for _, count in buckets] == ["2", "2", *["3"] * (len(BUCKETS) - 2), "4"]
    assert buckets[-1][0] == "+Inf"


def record(level: int, message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "bursar.x", "levelno": level, "levelname": "X", "msg": message})
    made.__dict__.update(fields)
    return made


def test_lines_for_people_are_the_text_alone() -> None:
    lines = TextLines()
    assert lines.format(record(logging.INFO, "💰 Deducted", user="u")) == "💰 Deducted"
    assert lines.format(record(logging.ERROR, "it broke")) == "X bursar.x: it broke"


def test_lines_for_machines_have_every_field() -> None:
    line = json.loads(JsonLines().format(record(logging.INFO, "💰 Deducted", user="u", number=1)))
    assert (line["message"], line["user"], line["number"]) == ("💰 Deducted", "u", 1)
    assert line["time"].endswith("Z")
