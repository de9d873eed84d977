"""Which part of a request a stack of calls belongs to, by the innermost call that says so."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

OTHER: Final = "other"
# A stack is read from its innermost call outwards, and each call is tried in this order: numpy below a check is
# validation, numpy below an encoder is encoding. Calls are written as py-spy does: `function (folder/file.py:line)`.
PARTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (part, re.compile(pattern))
    for part, pattern in (
        ("metrics and log", r"\((prometheus_client/|logging/|service/(observation|metrics|timings|logs)\.py)"),
        ("validate", r"^(validate|check_\w+|_check\w*) \(|\(pydantic/|\(contract/(vectors|spaces)\.py.*check"),
        ("encode", r"^(encode_\w+|pack_\w+|_\w+_answer) \(|\(starlette/responses\.py"),
        ("parse", r"\((service/routes/bodies|contract/vectors)\.py|\(orjson"),
        ("engine call", r"\((service/engines/|tritonclient/|grpc/|google/)"),
        ("HTTP protocol", r"\((uvicorn/|h11/|httptools/|service/http_protocol\.py)"),
        ("framework", r"\((fastapi/|starlette/|anyio/|service/(routes|app|problems))"),
        ("route, bounds, quotas", r"\(service/"),
        ("event loop", r"\((asyncio/(runners|base_events|events)\.py|uvloop/)"),
    )
)
NAMES: Final = (*(part for part, _ in PARTS), OTHER)


def part_of(stack: str) -> str:
    """The part of a stack, whose calls are separated by semicolons, outermost first."""
    for call in reversed(stack.split(";")):
        for part, pattern in PARTS:
            if pattern.search(call):
                return part
    return OTHER


def samples_by_part(lines: Iterable[str]) -> Counter[str]:
    """Samples of each part from py-spy's raw output: lines of a stack, a space and a number."""
    samples: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.strip().rpartition(" ")
        if stack:
            samples[part_of(stack)] += int(number)
    return samples
