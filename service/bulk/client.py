"""A gateway as its client sees it: JSON, problems by their code, and a bound on all waiting."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson

from service.bulk.errors import BulkError, GatewayProblemError, GatewayUnreachableError, JobError, StoppedError

JSON = "application/json"
BUSY = (429, 503)  # the gateway says when to come again
WAIT_MAX_S = 120.0  # of one request, over all its retries
PAUSE_S = 1.0  # where the gateway does not say
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 660.0  # above the longest R3AN_TIMEOUT_MS


class Gateway:
    """Safe to use from several threads; connections are kept. A context manager."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        connections: int = 1,
        stopped: threading.Event | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """`stopped` ends all waiting; `pause` waits for seconds. Nothing is sent yet.

        Raises:
            BulkError: the URL or the key cannot be used.
        """
        if "@" in url:  # wherever it stands: parsers differ, and every refusal of a URL repeats it
            raise BulkError("the URL holds a user or a password; the API key has a file or a variable of its own")
        self.stopped = threading.Event() if stopped is None else stopped
        self._pause = self.stopped.wait if pause is None else pause
        try:
            _ = urlsplit(url).port  # httpx finds out too late that a port is none
            self._http = httpx.Client(
                base_url=url,
                headers={} if key is None else {"Authorization": f"Bearer {key}"},
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            )
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
            raise BulkError("the URL or the API key holds characters that neither can have") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, patient: bool = False, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """The answer to GET of a path, given by its segments. Raises GatewayProblemError, GatewayUnreachableError.

        A `patient` request is sent again when its connection is lost.
        """
        return self._ask("GET", path, patient, params=query)

    def post(self, *path: str, body: object = None, patient: bool = False) -> dict[str, Any]:
        """The answer to POST of JSON. Raises as `get`. Be patient only with what may arrive twice."""
        content = None if body is None else orjson.dumps(body)
        return self._ask("POST", path, patient, content=content, headers={} if body is None else {"Content-Type": JSON})

    def _ask(self, method: str, segments: tuple[str, ...], patient: bool, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        path, left_s = "/" + "/".join(quote(segment, safe="") for segment in segments), WAIT_MAX_S
        while True:
            try:
                response = self._http.request(method, path, **request)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL):
                raise BulkError(f"{self._http.base_url} is no URL of a gateway") from None
            except httpx.TransportError as error:
                pause_s, reason = PAUSE_S, f"no answer from {self._http.base_url}: {type(error).__name__}"
                if not patient:
                    raise GatewayUnreachableError(reason) from None
            else:
                if response.status_code not in BUSY:
                    return _answer(response)
                pause_s, reason = _retry_after_s(response), f"{response.status_code} from {self._http.base_url}"
            left_s -= pause_s
            if left_s < 0:
                raise GatewayUnreachableError(f"{reason}; waited {WAIT_MAX_S:g} s at most")
            self._pause(pause_s)
            if self.stopped.is_set():
                raise StoppedError


def describe_gallery(gateway: Gateway, gallery: str, *, patient: bool = False) -> dict[str, Any]:
    """A gallery as the gateway describes it, with its incarnation. Raises JobError, as `get`."""
    described = gateway.get("galleries", gallery, patient=patient)
    if "incarnation" not in described:
        raise JobError(f"{gallery}: the gateway is older than this command and cannot tell galleries apart; upgrade it")
    return described


def check_same_gallery(gateway: Gateway, gallery: str, incarnation: str) -> None:
    """Refuse to call a job done whose gallery is not the one that it began with. Raises JobError, as `get`."""
    if describe_gallery(gateway, gallery, patient=True)["incarnation"] != incarnation:
        raise JobError(f"{gallery}: was deleted and made anew meanwhile; begin anew")


def _retry_after_s(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return max(PAUSE_S, float(said)) if said.isascii() and said.isdecimal() else PAUSE_S


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        body = orjson.loads(response.content) if response.content else {}
    except orjson.JSONDecodeError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    if not isinstance(body, dict) or "code" not in body:
        raise GatewayUnreachableError(
            f"{response.url.copy_with(query=None)} answers {response.status_code}: no gateway"
        )
    raise GatewayProblemError(response.status_code, str(body["code"]), str(body.get("detail")), body.get("row"))
