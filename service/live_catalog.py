"""Keeps the catalogue current: a version is verified and proven by the engine before the catalogue is swapped whole."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from contract.errors import ManifestError
from contract.manifest import TranslatorManifest
from service.catalog import Candidate, Catalog, ManifestReader, Refusal, reason_of, scan
from service.engines.base import Engine
from service.errors import CatalogError, EngineError, EngineFailedError
from service.metrics import Metrics

logger = logging.getLogger(__name__)

LOADS_AT_ONCE_MAX = 4


class LiveCatalog:
    """The catalogue of now, in `current`. A broken version is refused and the one before it keeps serving.

    A replaced version stays loaded for `retire_after_s`, the longest a request that chose it can still take.
    """

    def __init__(
        self,
        repository: Path,
        engine: Engine,
        metrics: Metrics,
        retire_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current = Catalog()
        self._repository = repository
        self._engine = engine
        self._metrics = metrics
        self._retire_after_s = retire_after_s
        self._clock = clock
        self._reader = ManifestReader()
        self._seen: dict[str, tuple[Candidate, ...]] | None = None
        self._unproven: set[str] = set()  # translators whose version the engine could not take yet
        self._earlier: dict[Candidate, TranslatorManifest | None] = {}  # that were asked for; None: not verified
        self._retired: list[tuple[float, TranslatorManifest]] = []

    async def find(self, name: str) -> TranslatorManifest | None:
        """A version by its id@version if it serves or lies verified in the repository, for what its manifest says."""
        translator, _, version = name.rpartition("@")
        serving = self.current.translators.get(translator)
        if serving is not None and serving.name == name:
            return serving
        found = (self._seen or {}).get(translator, ())
        candidate = next((candidate for candidate in found if str(candidate.version) == version), None)
        if candidate is None:
            return None
        if candidate not in self._earlier:
            self._earlier[candidate] = await asyncio.to_thread(self._read, candidate)
        return self._earlier[candidate]

    def _read(self, candidate: Candidate) -> TranslatorManifest | None:
        try:
            return self._reader.read(candidate)
        except ManifestError:
            return None

    async def reload(self) -> None:
        """Look at the repository and the engine once, and serve what changed.

        Raises:
            CatalogError: the repository is unreadable or contradicts itself; the catalogue of before stays.
        """
        try:
            await self._unload_retired()
            found = await asyncio.to_thread(scan, self._repository)
            engine_lost = bool(self.current.translators) and not await self._engine.ready()
            if found == self._seen and not self._unproven and not engine_lost:
                return
            is_start, self._seen = self._seen is None, found
            await self._serve(found, prove_again=engine_lost, is_start=is_start)
        except CatalogError as error:
            self._metrics.catalog_reloads.labels("refused").inc()
            logger.error("catalogue refused: %s", error)  # noqa: TRY400 - one line; the reason says all
            raise

    async def _serve(self, found: dict[str, tuple[Candidate, ...]], *, prove_again: bool, is_start: bool) -> None:
        before, refusals = self.current, list[Refusal]()
        unproven, self._unproven = self._unproven, set()
        free = asyncio.Semaphore(LOADS_AT_ONCE_MAX)

        async def choose(name: str, candidates: tuple[Candidate, ...]) -> TranslatorManifest | None:
            async with free:
                return await self._choose(name, candidates, refusals, prove_again=prove_again or name in unproven)

        chosen = await asyncio.gather(*(choose(name, candidates) for name, candidates in found.items()))
        served = [manifest for manifest in chosen if manifest is not None]
        refusals.sort(key=lambda refusal: (refusal.translator, -refusal.version))
        candidates = {candidate for candidates in found.values() for candidate in candidates}
        self._reader.forget_all_but(candidates)
        self._earlier = {candidate: read for candidate, read in self._earlier.items() if candidate in candidates}
        try:
            catalog = Catalog.of(served, refusals)
        except CatalogError:
            if is_start:  # nothing says which of them is meant
                self._retire(served, keep=before)
                raise
            catalog = _without_contradictions(before, served, refusals)
            self._retire(served, keep=catalog)
        self.current = catalog
        self._retire(before.translators.values(), keep=catalog)
        self._report(before, catalog)

    async def _choose(
        self, name: str, candidates: tuple[Candidate, ...], refusals: list[Refusal], *, prove_again: bool
    ) -> TranslatorManifest | None:
        """The newest version that verifies and that the engine has proven, newest first."""
        serving = self.current.translators.get(name)
        for candidate in candidates:
            try:
                manifest = await asyncio.to_thread(self._reader.read, candidate)
                if serving is not None and manifest.version == serving.version and manifest != serving:
                    refusals.append(
                        Refusal(name, candidate.version, "replaced while it serves; publish the next version")
                    )
                    return serving
                if manifest != serving or prove_again:
                    await self._engine.load(manifest)
            except (ManifestError, EngineFailedError) as error:
                refusals.append(Refusal(name, candidate.version, reason_of(error)))
                if serving is not None and serving.version == candidate.version:
                    return serving  # its files broke after they were verified and loaded
            except EngineError as error:
                logger.warning("%s/%d not proven yet: %s", name, candidate.version, error.detail)
                self._unproven.add(name)
                return serving or manifest
            else:
                return manifest
        return None

    def _retire(self, manifests: Iterable[TranslatorManifest], keep: Catalog) -> None:
        due = self._clock() + self._retire_after_s
        kept = {_key(manifest) for manifest in keep.translators.values()}
        self._retired += [(due, manifest) for manifest in manifests if _key(manifest) not in kept]

    async def _unload_retired(self) -> None:
        served = {_key(manifest) for manifest in self.current.translators.values()}
        retired, self._retired = self._retired, []
        for due, manifest in retired:
            if due > self._clock():
                self._retired.append((due, manifest))
            elif _key(manifest) not in served:
                try:
                    await self._engine.unload(manifest.id, manifest.version)
                except EngineError:
                    self._retired.append((due, manifest))

    def _report(self, before: Catalog, now: Catalog) -> None:
        for refusal in set(now.refusals) - set(before.refusals):
            self._metrics.refused_versions.inc()
            logger.error("refused %s/%d: %s", refusal.translator, refusal.version, refusal.reason)
        for gone in before.translators.keys() - now.translators.keys():
            self._metrics.forget(self._metrics.translator_version, gone)
        for name, manifest in now.translators.items():
            self._metrics.translator_version.labels(name).set(manifest.version)
            if manifest != before.translators.get(name):
                logger.info("serving %s/%d", name, manifest.version)
        self._metrics.catalog_reloads.labels("accepted").inc()


def _key(manifest: TranslatorManifest) -> tuple[str, int]:
    return manifest.id, manifest.version


def _without_contradictions(before: Catalog, found: list[TranslatorManifest], refusals: list[Refusal]) -> Catalog:
    """What served and is still found, with each change that contradicts none of the rest; the others are refused."""
    admitted = {manifest.id: before.translators[manifest.id] for manifest in found if manifest.id in before.translators}
    for manifest in found:
        changed = admitted | {manifest.id: manifest}
        try:
            Catalog.of(changed.values())
        except CatalogError as error:
            refusals.append(Refusal(manifest.id, manifest.version, str(error)))
        else:
            admitted = changed
    return Catalog.of(admitted.values(), refusals)
