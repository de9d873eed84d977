"""The versions of a translator that a model repository holds."""

from pathlib import Path

from pydantic import ValidationError

from contract.manifest import MANIFEST_FILE, TranslatorManifest
from contract.spaces import FeatureSpace
from training.errors import ExportError


def versions_in(translator_dir: Path) -> list[int]:
    """The versions in a translator's folder, rising; none in a missing one."""
    if not translator_dir.is_dir():
        return []
    return sorted(int(d.name) for d in translator_dir.iterdir() if d.name.isdecimal())


def next_version(translator_dir: Path) -> int:
    """One more than the highest version in a translator's folder; 1 in an empty or missing one."""
    return 1 + max(versions_in(translator_dir), default=0)


def check_spaces(translator: str, source: FeatureSpace, target: FeatureSpace, repository: Path) -> None:
    """Refuse a translator whose versions in the repository are of other spaces; an unreadable manifest says nothing.

    Triton reads one configuration for all versions, and a version of other dimensions than it says cannot be served.

    Raises:
        ExportError: names the version and what it translates.
    """
    for version in reversed(versions_in(repository / translator)):
        try:
            manifest = (repository / translator / str(version) / MANIFEST_FILE).read_bytes()
            published = TranslatorManifest.model_validate_json(manifest)
        except (OSError, ValidationError):
            continue
        if (published.source, published.target) != (source, target):
            found, wanted = _spaces(published.source, published.target), _spaces(source, target)
            reason = f"version {version} translates {found}, not {wanted}; choose another repository"
            raise ExportError(f"{repository / translator}: {reason}")


def _spaces(source: FeatureSpace, target: FeatureSpace) -> str:
    return f"{source.id} [{source.dim}] to {target.id} [{target.dim}]"
