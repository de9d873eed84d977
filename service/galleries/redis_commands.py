"""What the store asks of Redis, one or a cluster, and Redis' failures in our words."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol

from redis.exceptions import AskError, ClusterError, MovedError, RedisError, ResponseError

from service.errors import (
    CopiesChangedError,
    CopyExistsError,
    CopyIncompleteError,
    CopyServesError,
    GalleryLimitError,
    GalleryUnavailableError,
    GatewayError,
    UnknownFaceError,
    UnknownGalleryError,
    UnknownSubjectError,
)
from service.galleries.refusals import (
    COPIES_CHANGED,
    COPY_EXISTS,
    COPY_INCOMPLETE,
    COPY_SERVES,
    NO_FACE,
    NO_GALLERY,
    NO_SUBJECT,
    NOTES_FULL,
)

CONNECTIONS_MAX = 16  # to one server
EXCHANGE_TIMEOUT_S = 10.0
PIPELINE_MAX = 64

MOVED = "MOVED"  # the code of a refusal by a server of a cluster that is not the one to ask

logger = logging.getLogger(__name__)

Argument = str | int | bytes
Command = tuple[Argument, ...]


class CommandRefusedError(GalleryUnavailableError):
    """Redis answered with an error. Its text stays in `__cause__`: Redis repeats arguments in it.

    `code` is its first word; our scripts answer with the codes of REFUSALS.
    """

    def __init__(self, code: str = "") -> None:
        super().__init__("the gallery store refused an operation")
        self.code = code


class RedisCommands(Protocol):
    """Commands to Redis. Every method raises GalleryUnavailableError when there is no answer in time.

    What follows the name of a command, a key or the name of an index, says which server it goes to. Nothing is sent
    twice: a write whose answer was lost may have been carried out, and its repetition would answer something else.
    """

    async def command(self, *command: Argument) -> Any:  # noqa: ANN401 - the command decides
        """The answer to one command. Raises CommandRefusedError."""
        ...

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, sent in bounded pipelines. Raises CommandRefusedError if one is refused."""
        ...

    async def reachable(self, commands: Sequence[Command]) -> list[Any]:
        """The answers as of `commands`, None where a server cannot be reached. Raises CommandRefusedError."""
        ...

    async def read(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script that changes nothing. Raises CommandRefusedError."""
        ...

    async def change(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script, which Redis runs alone. Raises CommandRefusedError."""
        ...

    async def everywhere(self, *command: Argument) -> list[Any]:
        """The answers of all servers that can be reached, at least one, to a command without a key."""
        ...

    def operation(self) -> AbstractAsyncContextManager[None]:
        """The bound around all exchanges of one operation."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


REFUSALS: dict[str, tuple[type[GatewayError], str]] = {
    "UNKNOWNGALLERY": (UnknownGalleryError, NO_GALLERY),
    "UNKNOWNFACE": (UnknownFaceError, NO_FACE),
    "UNKNOWNSUBJECT": (UnknownSubjectError, NO_SUBJECT),
    "COPIESCHANGED": (CopiesChangedError, COPIES_CHANGED),
    "COPYEXISTS": (CopyExistsError, COPY_EXISTS),
    "COPYSERVES": (CopyServesError, COPY_SERVES),
    "COPYINCOMPLETE": (CopyIncompleteError, COPY_INCOMPLETE),
    "NOTESFULL": (GalleryLimitError, NOTES_FULL),
}


@contextmanager
def refusals_in_our_words() -> Iterator[None]:
    """Raise what a script's refusal means."""
    try:
        yield
    except CommandRefusedError as refused:
        if refused.code not in REFUSALS:
            raise
        error, detail = REFUSALS[refused.code]
        raise error(detail) from None


@asynccontextmanager
async def within(timeout_s: float) -> AsyncIterator[None]:
    """Bound an exchange, or all of an operation; raise Redis' failures in our words."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except MovedError as error:
        raise CommandRefusedError(MOVED) from error
    except (ClusterError, AskError) as error:
        logger.warning("the Redis cluster does not serve: %s", type(error).__name__)
        raise GalleryUnavailableError("the gallery store cannot be reached") from error
    except ResponseError as error:
        raise CommandRefusedError(str(error).partition(" ")[0]) from error
    except TimeoutError as error:
        logger.warning("Redis does not answer in time")
        raise GalleryUnavailableError("the gallery store did not answer in time") from error
    except (RedisError, OSError) as error:
        logger.warning("Redis does not answer: %s", type(error).__name__)
        raise GalleryUnavailableError("the gallery store cannot be reached") from error
