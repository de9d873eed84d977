"""Each sample of a profile is one part's, whatever library the innermost call is of."""

import pytest

from benchmarks.profile_parts import NAMES, OTHER, part_of, samples_by_part

LOOP = "main (service/cli.py:95);Server.run (uvicorn/server.py:86);Runner.run (asyncio/runners.py:118)"
CYCLE = f"{LOOP};RequestResponseCycle.run_asgi (uvicorn/protocols/http/httptools_impl.py:422)"
ROUTE = f"{CYCLE};FastAPI.__call__ (fastapi/applications.py:1224);translate (service/routes/translate.py:80)"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        (LOOP, "event loop"),
        (f"{CYCLE};RequestResponseCycle.send (uvicorn/protocols/http/httptools_impl.py:524)", "HTTP protocol"),
        (f"{CYCLE};FastAPI.__call__ (fastapi/applications.py:1224);unwrap (inspect.py:752)", "framework"),
        (f"{ROUTE};parse_json (service/routes/bodies.py:98)", "parse"),
        (f"{ROUTE};read_body (service/routes/bodies.py:86);timeout (asyncio/timeouts.py:145)", "parse"),
        (f"{ROUTE};to_features (service/routes/bodies.py:160);_from_lists (service/routes/bodies.py:180)", "parse"),
        (f"{ROUTE};validate (service/routes/bodies.py:110);model_validate (pydantic/main.py:792)", "validate"),
        (f"{ROUTE};check_features (contract/vectors.py:31);norm (numpy/linalg/_linalg.py:2805)", "validate"),
        (f"{ROUTE};check_answer (service/translation.py:99);norm (numpy/linalg/_linalg.py:2805)", "validate"),
        (f"{ROUTE};Translation.translate (service/translation.py:57)", "route, bounds, quotas"),
        (f"{ROUTE};JoinedEngine.translate (service/engines/joined.py:101)", "engine call"),
        (f"{LOOP};UnaryUnaryCall._invoke (grpc/aio/_call.py:595)", "engine call"),
        (f"{ROUTE};_json_answer (service/routes/translate.py:104)", "encode"),
        (f"{ROUTE};Response.__init__ (starlette/responses.py:46)", "encode"),
        (
            f"{CYCLE};Observation._report (service/observation.py:70);labels (prometheus_client/m.py:1)",
            "metrics and log",
        ),
        ("Thread._bootstrap (threading.py:1002);Thread.run (threading.py:982)", OTHER),
    ],
)
def test_a_stack_belongs_to_the_innermost_call_that_tells(stack: str, part: str) -> None:
    assert part_of(stack) == part
    assert part in NAMES


def test_no_sample_is_lost_or_counted_twice() -> None:
    lines = [f"{LOOP} 3", f"{ROUTE};parse_json (service/routes/bodies.py:98) 4", "x (y.py:1) 2", "", f"{LOOP} 1"]
    assert samples_by_part(lines) == {"event loop": 4, "parse": 4, OTHER: 2}
