"""An answer's head says all that the generator reads."""

import pytest

from benchmarks.load.answers import Reply
from benchmarks.load.http import UnreadableAnswerError, read_head


def test_a_head_says_status_length_and_what_the_gateway_added() -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nserver-timing: queue;dur=0.250, inference;dur=2.000, total;dur=2.750"
    )
    assert read_head(head) == (Reply(200, 0.75), 12)


def test_a_refusal_says_when_to_come_again() -> None:
    assert read_head(b"HTTP/1.1 429 Wait\r\nRetry-After: 2\r\ncontent-length: 0") == (Reply(429, None, 2.0), 0)


def test_a_head_without_timing_of_inference_says_nothing_of_what_was_added() -> None:
    assert read_head(b"HTTP/1.1 503 Busy\r\nserver-timing: total;dur=1.0\r\ncontent-length: 0") == (Reply(503), 0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", b"hello\r\ncontent-length: 1"])
def test_an_answer_that_cannot_be_read_is_refused(head: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_head(head)
