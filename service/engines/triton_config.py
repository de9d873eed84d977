"""The model configuration that tells Triton exactly which versions to load."""

from collections.abc import Iterable
from pathlib import Path

from contract.manifest import CONFIG_FILE
from service.errors import EngineFailedError


def config_for(translator_dir: Path, versions: Iterable[int]) -> str:
    """A translator's config.pbtxt as JSON, with these versions in place of its version policy.

    Triton loads the versions of a policy all or none: under `latest`, one broken version keeps every later one out.

    Raises:
        EngineFailedError: the file is missing or is no model configuration.
    """
    from google.protobuf import json_format, text_format  # noqa: PLC0415 - of the extra `triton`
    from tritonclient.grpc.model_config_pb2 import ModelConfig  # noqa: PLC0415 - of the extra `triton`

    config = ModelConfig()
    try:
        text_format.Parse((translator_dir / CONFIG_FILE).read_text(encoding="utf-8"), config)
    except OSError as error:
        raise EngineFailedError(f"{CONFIG_FILE}: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise EngineFailedError(f"{CONFIG_FILE} is no model configuration") from error
    config.version_policy.specific.versions[:] = sorted(versions)
    return str(json_format.MessageToJson(config, preserving_proto_field_name=True, indent=None))
