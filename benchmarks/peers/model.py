"""The model as every peer loads it: TorchScript, frozen and optimised, as our engine of that name has it."""

import torch

THREADS = 1  # as Triton's backend and the gateway's embedded engine take


def load(file: str, threads: int = THREADS) -> torch.jit.ScriptModule:
    """The module of a model.pt, ready to run [N, 256]."""
    torch.set_num_threads(threads)
    frozen = torch.jit.freeze(torch.jit.load(file).eval())  # type: ignore[no-untyped-call] # torch's own
    optimised: torch.jit.ScriptModule = torch.jit.optimize_for_inference(frozen)
    return optimised
