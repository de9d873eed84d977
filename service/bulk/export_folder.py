"""What an exported gallery says of itself: `export.json`, beside a folder of Parquet parts for each space of origin."""

import hashlib
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.manifest import Sha256
from contract.spaces import DIMENSION_MAX, Name
from service.bulk.errors import data_error
from service.bulk.parts import write_text

EXPORT_FILE = "export.json"
EXPORT_BYTES_MAX = 64 * 1024 * 1024
PART_PATTERN = r"^part-[0-9]{5,}\.parquet$"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ExportedPart(_Facts):
    """One Parquet file of a space."""

    file: str = Field(pattern=PART_PATTERN)
    rows: int = Field(ge=1)
    sha256: Sha256


class ExportedSpace(_Facts):
    """The faces that were enrolled in one space."""

    dim: int = Field(ge=1, le=DIMENSION_MAX)
    faces: int = Field(ge=1)
    parts: tuple[ExportedPart, ...] = Field(min_length=1, strict=False)


class Export(_Facts):
    """A finished export. `sha256` is over every space, file name and file hash, in order."""

    gallery: Name
    spaces: dict[Name, ExportedSpace]
    sha256: Sha256
    exported_at: datetime = Field(strict=False)


def sha256_of_spaces(spaces: dict[str, ExportedSpace]) -> str:
    """One hash over all that was exported."""
    lines = [f"{space} {part.file} {part.sha256}\n" for space in sorted(spaces) for part in spaces[space].parts]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_export(export: Export, folder: Path) -> None:
    """Finish an export folder."""
    write_text(folder / EXPORT_FILE, export.model_dump_json(indent=2) + "\n")


def read_export(folder: Path) -> Export:
    """What an export folder says. Raises DataError where it contradicts itself; the parts are not looked at."""
    file = folder / EXPORT_FILE
    try:
        if file.stat().st_size > EXPORT_BYTES_MAX:
            raise data_error(file, f"exceeds {EXPORT_BYTES_MAX} bytes")
        export = Export.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "export"
        raise data_error(file, f"{place}: {first['msg']}") from None
    except OSError as error:
        raise data_error(file, error.strerror or "cannot be read") from None
    if sha256_of_spaces(export.spaces) != export.sha256:
        raise data_error(file, "its sha256 is not that of the parts it names")
    return export
