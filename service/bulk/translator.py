"""One translator in this process, found, verified and proven as the gateway does it, without a gateway."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from contract.errors import ManifestError
from contract.manifest import MANIFEST_FILE, TranslatorManifest, parse_manifest, read_manifest
from contract.vectors import Features
from service.bulk.errors import TranslatorError
from service.catalog import scan
from service.engines.onnxruntime import open_onnxruntime
from service.errors import CatalogError, EngineError
from service.galleries.values import Confidence
from service.translation import BATCH_ROWS_MAX, check_answer

BATCH_TIMEOUT_MS = 600_000  # of BATCH_ROWS_MAX rows; nobody waits for an answer here


class Translator:
    """A verified version that this process has loaded. For one thread; close it."""

    def __init__(self, version_folder: Path) -> None:
        """Load `<translator>/<version>/` and prove it. Raises TranslatorError."""
        self._runner = asyncio.Runner()
        try:
            self.manifest = read_manifest(version_folder)
            repository = version_folder.parent.parent
            self._engine = self._runner.run(open_onnxruntime(repository, threads=1, queue_max=0))
            self._runner.run(self._engine.load(self.manifest))
        except (ManifestError, EngineError) as error:
            self._runner.close()
            raise TranslatorError(f"{version_folder.parent.name}/{version_folder.name}: {error}") from None

    def translate(self, features: Features) -> tuple[Features, Confidence | None]:
        """Raw, checked features [N, ds] to unit-length [N, dt] and confidence [N]. Raises TranslatorError."""
        starts = range(0, len(features), BATCH_ROWS_MAX)
        target = np.empty((len(features), self.manifest.target.dim), np.float32)
        try:
            for start in starts:
                batch = features[start : start + BATCH_ROWS_MAX]
                answer = self._runner.run(self._engine.translate(self.manifest, batch, BATCH_TIMEOUT_MS))
                check_answer(answer, len(batch), self.manifest.target.dim)
                target[start : start + BATCH_ROWS_MAX] = answer
        except EngineError as error:
            raise TranslatorError(f"{self.manifest.name}: {error}") from None
        model = self.manifest.confidence
        return target, None if model is None else model.score(features)

    def close(self) -> None:
        """End the engine's threads. Idempotent."""
        self._runner.run(self._engine.close())
        self._runner.close()


@contextmanager
def opened(version_folder: Path) -> Iterator[Translator]:
    """A translator for the length of the block. Raises TranslatorError."""
    translator = Translator(version_folder)
    try:
        yield translator
    finally:
        translator.close()


def find_version(repository: Path, source: str, target: str) -> tuple[Path, TranslatorManifest]:
    """The folder and the manifest of the newest version that joins two spaces, verified. Raises TranslatorError.

    Where a gateway would serve on with the version before, a newest version that does not verify ends the work: half a
    gallery of one version and half of another would be worse than none.
    """
    try:
        newest = [candidates[0].folder for candidates in scan(repository).values()]
    except CatalogError as error:
        raise TranslatorError(str(error)) from None
    routes = {folder: _route_of(folder) for folder in newest}
    found = [folder for folder, route in routes.items() if route == (source, target)]
    if not found:
        unreadable = [folder.parent.name for folder, route in routes.items() if route is None]
        hint = f"; {len(unreadable)} have no readable manifest, such as {unreadable[0]}" if unreadable else ""
        raise TranslatorError(f"{repository}: no translator from {source} to {target}{hint}")
    if len(found) > 1:
        names = " and ".join(folder.parent.name for folder in found)
        raise TranslatorError(f"{repository}: {names} join the same feature spaces")
    return found[0], _verified(found[0])


def _route_of(folder: Path) -> tuple[str, str] | None:
    """What a manifest says that it joins, without hashing the weights beside it; None where it says nothing."""
    try:
        file = folder / MANIFEST_FILE
        if not file.is_file():
            return None
        manifest = parse_manifest(file)
    except (ManifestError, OSError, ValidationError):
        return None
    return manifest.source.id, manifest.target.id


def _verified(folder: Path) -> TranslatorManifest:
    try:
        return read_manifest(folder)
    except ManifestError as error:
        raise TranslatorError(str(error)) from None
