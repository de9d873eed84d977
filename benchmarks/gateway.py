"""The gateway and Triton beside LitServe, a naive server, a direct client and the model alone, in one run."""

import time
from typing import Final

from benchmarks.gateway_affine import affine_part
from benchmarks.gateway_claims import known
from benchmarks.gateway_r3an import r3an_part
from benchmarks.gateway_stack import served
from benchmarks.results import Picture, Result, picture_of, result_of
from contract.manifest import Method
from training.progress import View

NAME: Final = "gateway"


def gateway_result(command: str, view: View) -> Result:
    """Measure `affine`, where only the stack costs, and `r3an`, where the model does; draw the growth of the first."""
    started_at = time.monotonic()
    with served(Method.AFFINE) as stack:
        affine = affine_part(stack, picture_of(NAME, Picture.GROWTH), view)
    with served(Method.R3AN) as stack:
        r3an = r3an_part(stack, view)
    return result_of(
        name=NAME,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=known(affine.figures | r3an.figures),
        claims=[*r3an.claims, *affine.claims],
    )
