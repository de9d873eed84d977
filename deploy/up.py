"""`make up`: a real Redis, a real Triton and the gateway on loopback, until Ctrl-C or SIGTERM.

R3AN_* variables of the surroundings apply, but for where Redis and Triton are. Without an API keys file the gateway
runs as in development: open, on loopback alone.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from deploy.gateway import GatewayServer
from deploy.process import ProcessError, interrupt_on_signals, wait_for_end
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer

RUN_DIR = Path(".run")  # galleries and logs, kept from one run to the next
REPOSITORY_VARIABLE = "R3AN_MODEL_REPOSITORY"
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


def main() -> int:
    """Start all, say where they are, wait, stop all. 0 after a signal, 1 when a server fails, 2 without translators."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith("R3AN_")}
    repository = Path(chosen.setdefault(REPOSITORY_VARIABLE, "model_repository"))
    if next(repository.glob("*/*/manifest.json"), None) is None:
        say(f"no translators in {repository}: run `make demo` first, or set {REPOSITORY_VARIABLE}", sys.stderr)
        return EXIT_BAD_INPUT
    chosen.setdefault("R3AN_ENVIRONMENT", "production" if "R3AN_API_KEYS_FILE" in chosen else "development")
    chosen.setdefault("R3AN_PORT", "8080")
    RUN_DIR.mkdir(exist_ok=True)
    interrupt_on_signals()
    try:
        with ExitStack() as stack:
            ended = serve(stack, chosen, repository)
    except KeyboardInterrupt:
        say("stopped")
        return 0
    except ProcessError as error:
        ended = str(error)
    say(ended, sys.stderr)
    return EXIT_FAILED


def serve(stack: ExitStack, chosen: dict[str, str], repository: Path) -> str:
    """Start the servers in `stack`, which stops them in reverse order; returns when one has ended by itself."""
    redis = stack.enter_context(RedisServer(data=RUN_DIR / "redis", log=RUN_DIR / "redis.log"))
    say(f"redis    {redis.url}")
    triton = stack.enter_context(TritonServer(repository, log=RUN_DIR / "triton.log"))
    say(f"triton   {triton.http_url} (HTTP), {triton.grpc_address} (gRPC), {triton.metrics_url}")
    where = {"R3AN_ENGINE": "triton", "R3AN_TRITON_URL": triton.grpc_address}
    where |= {"R3AN_GALLERY_STORE": "redis", "R3AN_REDIS_URL": redis.url}
    gateway = stack.enter_context(GatewayServer(chosen | where, log=RUN_DIR / "gateway.log"))
    say(f"gateway  {gateway.url} ({chosen['R3AN_ENVIRONMENT']}), {gateway.url}/docs, {gateway.url}/metrics")
    say(f"logs and galleries in {RUN_DIR}/; Ctrl-C stops all")
    ended = wait_for_end([gateway.process, triton.process, redis.process])
    return f"{ended.name} has ended by itself; its log ends:\n{ended.log_tail()}"


def say(line: str, file: TextIO | None = None) -> None:
    """Print at once, also into a pipe."""
    print(line, file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())
