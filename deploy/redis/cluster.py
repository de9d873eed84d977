"""A real Redis Cluster on loopback from the same wheels: three primaries with a replica each.

For tests and development. This query engine has no coordinator: each server searches what it holds, and a gallery lies
on one of them.
"""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from deploy.process import LOOPBACK, free_ports, scratch_folder, wait_until
from deploy.redis.start import RedisServer

PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 2000  # after which a server that does not answer is held to be down
CLUSTER_TIMEOUT_S = 60.0
CLIENT_TIMEOUT_S = 5.0


class RedisClusterServers:
    """Six servers of one cluster. A context manager; ends exactly the processes it has started.

    Server n and server n + 3 hold the same: the first as primary, until the other takes over.
    """

    def __init__(self, data: Path | None = None) -> None:
        """`data`: where the servers' folders lie; None means a folder that goes with the cluster."""
        self._scratch = scratch_folder(self, "redis-cluster")
        folder = self._scratch if data is None else data
        ports = free_ports(4 * PRIMARIES)
        self._bus_ports = ports[1::2]
        self.servers = [
            RedisServer(data=folder / f"{n}", port=port, log=self._scratch / f"{n}.log", options=_options(bus_port))
            for n, (port, bus_port) in enumerate(zip(ports[::2], self._bus_ports, strict=True))
        ]
        self._started = ExitStack()

    @property
    def url(self) -> str:
        """URL for the gateway."""
        return "redis+cluster://" + ",".join(f"{LOOPBACK}:{server.port}" for server in self.servers)

    def start(self) -> Self:
        """Start all servers, form the cluster and return when every primary has its replica.

        Raises:
            ProcessError: a server did not start.
            TimeoutError: they do not form a cluster.
        """
        with ExitStack() as started:
            for server in self.servers:
                started.callback(server.stop)
                server.start()
            self._form()
            self._started = started.pop_all()
        return self

    def stop(self) -> None:
        """End every server. Idempotent."""
        self._started.close()

    def primary_of(self, key: str) -> RedisServer:
        """The server that holds a key, as those that run say."""
        for server in self.servers:
            with suppress(RedisError):
                slot = ask(server, "CLUSTER", "KEYSLOT", key)
                ranges = ask(server, "CLUSTER", "SLOTS")
                port = next(primary[1] for first, last, primary, *_ in ranges if first <= slot <= last)
                return next(server for server in self.servers if server.port == port)
        raise LookupError(f"no server can be asked who holds {key}")

    def empty(self) -> None:
        """Delete everything, indexes too."""
        for server in self.servers:
            if ask(server, "INFO", "replication")["role"] == "master":
                ask(server, "FLUSHALL")

    def wait_until_whole(self) -> None:
        """Return when every server serves and every replica has what its primary has. Raises TimeoutError."""
        wait_until(lambda: all(_is_whole(server) for server in self.servers), CLUSTER_TIMEOUT_S, "a whole cluster")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _form(self) -> None:
        first, *others = self.servers
        for n, server in enumerate(self.servers):
            ask(server, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for server, bus_port in zip(others, self._bus_ports[1:], strict=True):
            ask(first, "CLUSTER", "MEET", LOOPBACK, server.port, bus_port)
        wait_until(lambda: all(_knows_all(server) for server in self.servers), CLUSTER_TIMEOUT_S, "servers to meet")
        for n in range(PRIMARIES):
            primary, replica = self.servers[n], self.servers[PRIMARIES + n]
            slots = (SLOTS * n // PRIMARIES, SLOTS * (n + 1) // PRIMARIES - 1)
            ask(primary, "CLUSTER", "ADDSLOTSRANGE", *slots)
            ask(replica, "CLUSTER", "REPLICATE", ask(primary, "CLUSTER", "MYID"))
        self.wait_until_whole()


def ask(server: RedisServer, *command: str | int | bytes) -> Any:  # noqa: ANN401 - the command decides
    """A server's answer to a command, as an operator would get it. Raises RedisError."""
    with Redis.from_url(server.url, protocol=2, socket_timeout=CLIENT_TIMEOUT_S) as client:
        return client.execute_command(*command)


def _options(bus_port: int) -> list[str]:
    return [
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        # What is lost with a primary and its replica is its galleries; the others are served on.
        *("--cluster-require-full-coverage", "no"),
        # A primary that has lost its replica refuses changes, so that none is undone when it is replaced.
        *("--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"),
    ]


def _knows_all(server: RedisServer) -> bool:
    return b"cluster_known_nodes:%d" % (2 * PRIMARIES) in ask(server, "CLUSTER", "INFO")


def _is_whole(server: RedisServer) -> bool:
    try:
        state = ask(server, "CLUSTER", "INFO")
        if b"cluster_state:ok" not in state or b"cluster_slots_ok:%d\r\n" % SLOTS not in state:
            return False
        replication = ask(server, "INFO", "replication")
    except RedisError:
        return False
    if replication["role"] == "master":
        return bool(replication["connected_slaves"] == 1 and replication["slave0"]["state"] == "online")
    return bool(replication["master_link_status"] == "up")
