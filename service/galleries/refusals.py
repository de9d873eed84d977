"""What every store refuses in the same words."""

from collections.abc import Sequence
from typing import Final

from contract.spaces import FeatureSpace
from service.errors import CopiesChangedError, GalleryLimitError, GallerySpaceMismatchError
from service.galleries.values import Rendition

NO_GALLERY: Final = "no such gallery"
NO_FACE: Final = "no such face in the gallery"
NO_SUBJECT: Final = "no such subject in the gallery"
COPIES_CHANGED: Final = "the gallery's copies have changed"
COPY_EXISTS: Final = "the gallery has a second copy, or one in this feature space"
COPY_SERVES: Final = "the copy serves searches"
COPY_INCOMPLETE: Final = "no copy in this feature space holds every face"
COPY_DROPPED: Final = "the copy was dropped while its approximate search was being built"
APPROXIMATION_REMOVED: Final = "the approximate search was removed while it was being built"
RANKING_LIMIT: Final = "to rank these subjects takes more faces than are looked at for one probe"
NOTES_FULL: Final = "no further note or count can be kept"


def no_copy(space: FeatureSpace) -> GallerySpaceMismatchError:
    """Probes of a space that a gallery has no copy in."""
    return GallerySpaceMismatchError(f"the gallery has no copy in the feature space {space.id}")


def serves_another(space: FeatureSpace) -> GallerySpaceMismatchError:
    """A gallery to be made that is there and serves this space."""
    return GallerySpaceMismatchError(f"the gallery serves the feature space {space.id}")


def too_many_galleries(galleries_max: int) -> GalleryLimitError:
    """One gallery more than a store may hold."""
    return GalleryLimitError(f"at most {galleries_max} galleries can be held")


def too_many_faces(faces_max: int) -> GalleryLimitError:
    """More faces than a gallery may hold."""
    return GalleryLimitError(f"a gallery holds at most {faces_max} faces")


def one_space(renditions: Sequence[Rendition]) -> FeatureSpace:
    """The space of a claim's renditions. Raises CopiesChangedError: they are none, or of several."""
    spaces = {rendition.space for rendition in renditions}
    if len(spaces) != 1:
        raise CopiesChangedError("a copy is filled in its own feature space")
    return spaces.pop()
