"""Every setting of the gateway: one name, one unit, one bound each. Read from `R3AN_*`; see docs/operations.md."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Of a user and a password before the @ nothing may pass for a host, a port or a path: errors and logs may name those.
_USER: Final = r"([^\s/?#@\[\]]*@)?"
_SERVER: Final = r"([^\s/?#@:,\[\]]+|\[[^\s\]]+\])(:[0-9]{1,5})?"
_REST: Final = r"(/[0-9]*)?(\?[^\s#@]*)?"
REDIS_URL: Final = re.compile(
    rf"rediss?://{_USER}{_SERVER}{_REST}|rediss?\+cluster://{_USER}{_SERVER}(,{_SERVER})*{_REST}|unix://[^\s/]*/\S+"
)


class Environment(StrEnum):
    """Where the gateway runs. Only development may go without API keys."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


class EngineKind(StrEnum):
    """What runs translators."""

    ONNXRUNTIME = "onnxruntime"
    TORCHSCRIPT = "torchscript"
    TRITON = "triton"
    ECHO = "echo"


class StoreKind(StrEnum):
    """What keeps galleries."""

    LOCAL = "local"
    REDIS = "redis"


class Settings(BaseSettings):
    """Frozen settings; an unknown or out-of-range value stops the start."""

    # What is refused is not repeated: it may be a password, or a whole environment with one.
    model_config = SettingsConfigDict(env_prefix="R3AN_", frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Field(
        Environment.PRODUCTION, description="`production` demands API keys; `development` is open without a keys file."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Processes that serve. More than one need the store `redis`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    api_keys_file: Path | None = Field(
        None, description="JSON file of salted key hashes, written by `r3an-gateway keys create`."
    )

    model_repository: Path = Field(Path("model_repository"), description="Folder of translators; Triton reads it too.")
    reload_interval_s: float = Field(
        5.0, ge=0.05, le=3600, description="How often the repository, the API keys file and the engine are looked at."
    )
    engine: EngineKind = Field(
        EngineKind.ONNXRUNTIME,
        description="`onnxruntime` or `torchscript` in process, `triton`, or `echo` (a double).",
    )
    triton_url: str = Field("127.0.0.1:8001", description="Triton's gRPC endpoint as host:port.")
    engine_threads: int = Field(1, ge=1, le=64, description="Inferences that run at once in process.")
    engine_queue_max: int = Field(64, ge=0, le=4096, description="Inferences in process that may wait for a thread.")

    gallery_store: StoreKind = Field(StoreKind.LOCAL, description="`local` (embedded, on disk) or `redis`.")
    gallery_dir: Path = Field(Path("galleries"), description="Folder of the local store.")
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis, or a cluster as `redis+cluster://host:port,host:port`; a password is percent-encoded.",
    )
    galleries_max: int = Field(1000, ge=1, le=100_000, description="Galleries in the store.")
    faces_max: int = Field(2_000_000, ge=1, le=100_000_000, description="Faces in one gallery.")
    top_k_max: int = Field(100, ge=1, le=1000, description="Matches a probe may ask for.")

    body_bytes_max: int = Field(16 * 1024**2, ge=1024, le=256 * 1024**2, description="Bytes of a request body.")
    rows_max: int = Field(4096, ge=1, le=65_536, description="Features in one request.")
    rows_in_flight_max: int = Field(32_768, ge=1, le=1_048_576, description="Features being translated at once.")
    engine_wait_ms_max: int = Field(
        500,
        ge=1,
        le=600_000,
        description="Time a caller's request may wait for its turn at the engine before further ones are refused.",
    )
    connections_max: int = Field(
        512,
        ge=1,
        le=65_536,
        description="Connections held at once; further ones are closed. Each takes a file descriptor.",
    )
    requests_in_flight_max: int = Field(256, ge=1, le=65_536, description="Requests being served at once.")
    timeout_ms: int = Field(10_000, ge=10, le=600_000, description="Time a request may take, its body included.")

    migration_batch_faces: int = Field(
        512,
        ge=1,
        le=4096,
        description="Faces that a migration claims and translates at once; fewer under live traffic.",
    )
    migration_batches_at_once: int = Field(
        2, ge=1, le=64, description="Claims that one gateway process works on at once."
    )
    migration_lease_ms: int = Field(
        30_000, ge=5_000, le=3_600_000, description="Time after which another process may take over a claim."
    )
    migration_share: float = Field(
        0.5,
        ge=0.05,
        le=1,
        description="Share of the time that all gateways together may work on migrations while any serves requests.",
    )
    migration_poll_s: float = Field(
        2.0, ge=0.05, le=3600, description="How often a gateway process looks for migrations to work on."
    )
    shadow_share: float = Field(
        0.1, ge=0, le=1, description="Share of searches that a migrating gallery's other copy answers too, to compare."
    )

    @field_validator("redis_url")
    @classmethod
    def _redis_url_can_be_read(cls, url: SecretStr) -> SecretStr:
        if REDIS_URL.fullmatch(url.get_secret_value()) is None:
            raise ValueError(
                "is no redis://host:port, redis+cluster://host:port,host:port or unix:///path;"
                " special characters of a user or password, before @, must be percent-encoded"
            )
        return url

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.environment is not Environment.DEVELOPMENT and self.api_keys_file is None:
            raise ValueError("outside development R3AN_API_KEYS_FILE must name a file of API keys")
        if self.workers > 1 and self.gallery_store is StoreKind.LOCAL:
            raise ValueError("R3AN_WORKERS above 1 needs R3AN_GALLERY_STORE=redis: the local store is one process's")
        if self.rows_in_flight_max < self.rows_max:
            raise ValueError("R3AN_ROWS_IN_FLIGHT_MAX must not be below R3AN_ROWS_MAX")
        if self.connections_max < self.requests_in_flight_max:
            raise ValueError("R3AN_CONNECTIONS_MAX must not be below R3AN_REQUESTS_IN_FLIGHT_MAX")
        return self
