"""What is served: an immutable index of verified manifests, and the reader that fills it from the repository."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from contract.errors import ManifestError
from contract.manifest import MANIFEST_FILE, MODEL_FILE, ONNX_FILE, VERSION_MAX, TranslatorManifest, read_manifest
from contract.spaces import NAME_PATTERN, FeatureSpace
from service.errors import CatalogError, MalformedBodyError, NoRouteError, UnknownModelError

TRANSLATORS_MAX = 10_000
FILES = (MANIFEST_FILE, MODEL_FILE, ONNX_FILE)  # of a version


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that is not served, and why."""

    translator: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The served versions, one per translator and one per route, and the refused. Replaced whole, never changed."""

    translators: Mapping[str, TranslatorManifest] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    spaces: Mapping[str, FeatureSpace] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, TranslatorManifest]] = field(
        default_factory=dict
    )  # source -> target -> translator

    @classmethod
    def of(cls, manifests: Iterable[TranslatorManifest], refusals: Iterable[Refusal] = ()) -> Self:
        """Index manifests.

        Raises:
            CatalogError: two translators join the same spaces, or two dimensions claim one space.
        """
        translators = {manifest.id: manifest for manifest in sorted(manifests, key=lambda manifest: manifest.id)}
        spaces: dict[str, FeatureSpace] = {}
        routes: dict[str, dict[str, TranslatorManifest]] = {}
        for manifest in translators.values():
            for space in (manifest.source, manifest.target):
                if spaces.setdefault(space.id, space) != space:
                    raise CatalogError(f"{space.id} has {spaces[space.id].dim} and {space.dim} dimensions")
            other = routes.setdefault(manifest.source.id, {}).setdefault(manifest.target.id, manifest)
            if other is not manifest:
                raise CatalogError(f"{other.id} and {manifest.id} join the same feature spaces")
        return cls(translators, tuple(refusals), spaces, routes)

    def space(self, model: str) -> FeatureSpace:
        """The feature space of this name. Raises UnknownModelError."""
        try:
            return self.spaces[model]
        except KeyError:
            raise UnknownModelError(f"no feature space {model!r}") from None

    def route(self, source_model: str, target_model: str | None) -> TranslatorManifest:
        """The translator that joins two spaces; without a target, the only one that leaves the source.

        Raises:
            UnknownModelError, NoRouteError.
            MalformedBodyError: source and target are the same, or the target is needed and missing.
        """
        self.space(source_model)
        if target_model is None:
            targets = self.routes.get(source_model, {})
            if len(targets) > 1:
                raise MalformedBodyError(f"target_model is needed: {source_model!r} has routes to {', '.join(targets)}")
            if not targets:
                raise NoRouteError(f"no translator leaves {source_model!r}")
            return next(iter(targets.values()))
        if self.space(target_model).id == source_model:
            raise MalformedBodyError("source_model and target_model are the same: nothing to translate")
        manifest = self.joining(source_model, target_model)
        if manifest is None:
            raise NoRouteError(f"no translator from {source_model!r} to {target_model!r}")
        return manifest

    def joining(self, source_model: str, target_model: str) -> TranslatorManifest | None:
        """The translator that joins two spaces; None where there is none, or no such space."""
        return self.routes.get(source_model, {}).get(target_model)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version found in the repository: its folder, and the state of its files without reading them."""

    folder: Path
    version: int
    state: tuple[tuple[int, int, int], ...]  # of each of FILES: modified ns, bytes, inode


def scan(repository: Path) -> dict[str, tuple[Candidate, ...]]:
    """Translators and their versions, newest first, by names and file states alone.

    Folders whose name no translator can have (hidden ones, a file system's `lost+found`) are passed over, as are those
    that are no canonical number among versions; a folder without any version is no translator.

    Raises:
        CatalogError: the repository cannot be read, or holds more than 10,000 translators.
    """
    try:
        folders = sorted(d for d in repository.iterdir() if re.fullmatch(NAME_PATTERN, d.name) and d.is_dir())
        found = {folder.name: _candidates(folder) for folder in folders}
    except OSError as error:
        raise CatalogError(f"{repository.name}: {error.strerror}") from error
    translators = {name: candidates for name, candidates in found.items() if candidates}
    if len(translators) > TRANSLATORS_MAX:
        raise CatalogError(f"{repository.name}: more than {TRANSLATORS_MAX} translators")
    return translators


class ManifestReader:
    """Reads and verifies versions, remembering those whose files have not changed, for hashing weights takes time."""

    def __init__(self) -> None:
        self._verified: dict[Candidate, TranslatorManifest] = {}

    def read(self, candidate: Candidate) -> TranslatorManifest:
        """The verified manifest of a version. Raises ManifestError."""
        manifest = self._verified.get(candidate)
        if manifest is None:
            manifest = self._verified[candidate] = read_manifest(candidate.folder)
        return manifest

    def forget_all_but(self, candidates: Iterable[Candidate]) -> None:
        """Keep the memory as small as the repository."""
        keep = set(candidates)
        self._verified = {c: manifest for c, manifest in self._verified.items() if c in keep}


def reason_of(error: Exception) -> str:
    """Why a version was refused: one line, bounded."""
    if isinstance(error, ManifestError):
        return str(error)[:500]
    return f"{type(error).__name__}: {error}"[:500]


def _candidates(folder: Path) -> tuple[Candidate, ...]:
    versions = (d for d in folder.iterdir() if d.name.isascii() and d.name.isdecimal() and not d.name.startswith("0"))
    candidates = [Candidate(d, int(d.name), tuple(_state(d / name) for name in FILES)) for d in versions]
    return tuple(sorted((c for c in candidates if c.version <= VERSION_MAX), key=lambda c: -c.version))


def _state(file: Path) -> tuple[int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
