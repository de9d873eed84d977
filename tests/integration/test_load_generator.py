"""The load generator against a real gateway: it counts what the gateway counts, and says what went wrong."""

from pathlib import Path

import pytest

from benchmarks.gateway_requests import translate_message
from benchmarks.load.plan import JSON, OCTET_STREAM, Closed, Open, Phase, Plan
from benchmarks.load.run import run_load, start_load
from deploy.process import LOOPBACK, READY_TIMEOUT_S, free_ports, wait_until
from tests.gateway import development_settings, running_gateway
from tests.repository import SOURCE, TARGET, write_translator

ROWS = 3


@pytest.mark.parametrize("content_type", [JSON, OCTET_STREAM])
def test_every_request_that_the_gateway_has_answered_is_counted(tmp_path: Path, content_type: str) -> None:
    write_translator(tmp_path / "model_repository")
    with running_gateway(development_settings(tmp_path)) as client:
        port = client.base_url.port or 0
        message = translate_message(port, SOURCE, TARGET, ROWS, content_type)
        pace = Open((Phase(rate_per_s=100, seconds=0.5), Phase(rate_per_s=50, seconds=0.5)), connections=4)
        report = run_load(Plan(LOOPBACK, port, message, ROWS, pace))
        metrics = client.get("/metrics").text
    assert report.answers is not None
    assert set(report.answers.status) == {200}
    assert (
        f'r3an_http_requests_total{{method="POST",route="/translate",status="200"}} {len(report.answers.status)}.0'
        in metrics
    )
    assert all(added_ms is not None and added_ms > 0 for added_ms in report.answers.added_ms)
    assert [summary.statuses["200"] for summary in report.summaries] == [
        sum(due_s < 0.5 for due_s in report.answers.due_s),
        sum(due_s >= 0.5 for due_s in report.answers.due_s),
    ]


def test_refusals_are_counted_by_their_status(tmp_path: Path) -> None:
    (tmp_path / "model_repository").mkdir()
    with running_gateway(development_settings(tmp_path)) as client:
        port = client.base_url.port or 0
        message = translate_message(port, SOURCE, TARGET, ROWS, JSON)
        (summary,) = run_load(Plan(LOOPBACK, port, message, ROWS, Closed(2, seconds=0.3, warm_up_s=0.0))).summaries
    assert set(summary.statuses) == {"404"}, "no translator is in the repository"
    assert summary.requests_per_s == 0


def test_a_report_of_many_answers_arrives_whole(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository")
    with running_gateway(development_settings(tmp_path)) as client:
        port = client.base_url.port or 0
        message = translate_message(port, SOURCE, TARGET, ROWS, "text/plain")  # refused at once
        pace = Open((Phase(rate_per_s=3000, seconds=1.0),), connections=4)
        with start_load(Plan(LOOPBACK, port, message, ROWS, pace)) as load:
            wait_until(lambda: not load.running, READY_TIMEOUT_S, "the generator to end")
            report = load.report()
    assert report.answers is not None
    assert len(report.answers.status) == sum(report.summaries[0].statuses.values()) > 2000, "more than a pipe holds"
    assert set(report.answers.status) == {415}


def test_a_server_that_is_not_there_fails_each_request() -> None:
    plan = Plan(LOOPBACK, free_ports(1)[0], b"", ROWS, Closed(1, seconds=0.1, warm_up_s=0.0))
    (summary,) = run_load(plan).summaries
    assert set(summary.statuses) == {"failed"}
