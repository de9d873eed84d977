"""A plan and a report reach the other process as they are."""

import pytest

from benchmarks.load.answers import OK, Answers, Reply
from benchmarks.load.plan import Closed, Open, Phase, Plan, http_message, plan_from_json, plan_to_json, seconds_of
from benchmarks.load.report import report_from_json, report_of, report_to_json

CLOSED = Closed(at_once=4, seconds=2.0, warm_up_s=1.0)
OPEN = Open((Phase(10.0, 1.0), Phase(30.0, 2.0)), connections=8)


@pytest.mark.parametrize("pace", [CLOSED, OPEN])
def test_a_plan_survives_its_text(pace: Closed | Open) -> None:
    plan = Plan("127.0.0.1", 80, b"\x00\xff", rows=3, pace=pace)
    assert plan_from_json(plan_to_json(plan)) == plan
    assert seconds_of(pace) == 3


def test_a_message_is_framed_by_its_length() -> None:
    message = http_message("h", 1, "/translate?a=b", b"\r\n\r\n", "application/octet-stream", {"X-API-Key": "k"})
    assert message == (
        b"POST /translate?a=b HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: 4\r\nX-API-Key: k\r\n\r\n\r\n\r\n"
    )


def test_a_closed_loop_reports_what_came_after_the_warm_up() -> None:
    answers = Answers()
    for due_s, done_s in ((0.0, 0.9), (0.9, 1.1), (2.0, 2.9), (2.9, 3.1)):
        answers.add(due_s, due_s, done_s, Reply(OK))
    report = report_of(answers, CLOSED, rows=2)
    assert [summary.statuses for summary in report.summaries] == [{"200": 2}]
    assert report.summaries[0].features_per_s == pytest.approx((0.5 + 1 + 0.5) * 2 / 2)
    assert report.answers is None


def test_an_open_loop_reports_each_phase_by_what_was_due_in_it() -> None:
    answers = Answers()
    for due_s, done_s in ((0.5, 1.5), (1.5, 1.6), (2.5, 9.0)):
        answers.add(due_s, due_s, done_s, Reply(OK, 0.1))
    report = report_of(answers, OPEN, rows=1)
    assert [summary.statuses for summary in report.summaries] == [{"200": 1}, {"200": 2}]
    assert report.answers == answers
    assert "NaN" in report_to_json(report), "nothing was refused"
    assert report_from_json(report_to_json(report)).answers == answers
