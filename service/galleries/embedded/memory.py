"""A gallery in memory: who is in it, and its features in each space it has a copy in."""

from dataclasses import dataclass, field

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import CopiesChangedError
from service.galleries.embedded.claims import Claims
from service.galleries.embedded.copy_records import CopyKeys
from service.galleries.embedded.feature_blocks import FeatureBlocks
from service.galleries.embedded.mean_scan import PROBES_PER_MEAN_SCAN, nearest_subjects_by_mean
from service.galleries.embedded.read_write_lock import ReadWriteLock
from service.galleries.embedded.roster import Roster
from service.galleries.embedded.scan import PROBES_PER_SCAN, nearest_faces, nearest_subjects
from service.galleries.embedded.sketch_scan import nearest_by_sketch
from service.galleries.refusals import COPIES_CHANGED, no_copy
from service.galleries.values import Approximation, Copy, Found, GalleryInfo, Ranking, Where, may_approximate

SEARCHES = {
    Ranking.FACES: (nearest_faces, PROBES_PER_SCAN),
    Ranking.SUBJECTS_BY_BEST: (nearest_subjects, PROBES_PER_SCAN),
    Ranking.SUBJECTS_BY_MEAN: (nearest_subjects_by_mean, PROBES_PER_MEAN_SCAN),
}


@dataclass(eq=False, slots=True)
class MemoryCopy:
    """A gallery's features in one space, and the leases on what is missing there.

    While there is an `approximation`, every block of features has a sketch; before, it may be in the making.
    """

    keys: CopyKeys
    features: FeatureBlocks
    claims: Claims
    approximation: Approximation | None = None

    @property
    def key(self) -> str:
        """What tells it from every other copy."""
        return str(self.keys.copy)


@dataclass(slots=True)
class MemoryGallery:
    """Changed by the writer thread alone, under `lock` where a search would see it half changed."""

    name: str
    key: int
    incarnation: str
    serving: FeatureSpace
    copies: dict[FeatureSpace, MemoryCopy]
    roster: Roster = field(default_factory=Roster)
    lock: ReadWriteLock = field(default_factory=ReadWriteLock)

    def info(self) -> GalleryInfo:
        """What is in it; for the writer thread, others read what it published."""
        spaces = [self.serving, *(space for space in self.copies if space != self.serving)]
        held = [(space, self.copies[space]) for space in spaces]
        copies = tuple(
            Copy(space, len(copy.features), copy.approximation, copy.features.makers.counts(), copy.key)
            for space, copy in held
        )
        faces, subjects = len(self.roster.faces), len(self.roster.subjects)
        return GalleryInfo(self.name, self.serving, faces, subjects, copies, self.incarnation)

    def copy(self, space: FeatureSpace) -> MemoryCopy:
        """The copy in a space. Raises CopiesChangedError: there is none."""
        copy = self.copies.get(space)
        if copy is None:
            raise CopiesChangedError(COPIES_CHANGED)
        return copy

    def searched(self, space: FeatureSpace) -> MemoryCopy:
        """The copy that probes of a space are compared with. Raises GallerySpaceMismatchError: there is none."""
        copy = self.copies.get(space)
        if copy is None:
            raise no_copy(space)
        return copy

    def search(
        self, space: FeatureSpace, probes: Features, top_k: int, ranking: Ranking, where: Where, *, exact: bool = True
    ) -> Found:
        """One scan for as many probes [N, d] as its ranking allows. Raises GallerySpaceMismatchError."""
        copy = self.searched(space)
        if not exact and copy.approximation is not None and may_approximate(ranking, where):
            found = nearest_by_sketch(copy.features, self.roster, probes, top_k, ranking)
            if found is not None:
                return found
        scan, _ = SEARCHES[ranking]
        return scan(copy.features, self.roster, probes, top_k, where)
