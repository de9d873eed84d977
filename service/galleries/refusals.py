"""What every store refuses in the same words."""

from typing import Final

from contract.spaces import FeatureSpace
from service.errors import GalleryLimitError, GallerySpaceMismatchError

NO_GALLERY: Final = "no such gallery"
NO_FACE: Final = "no such face in the gallery"
NO_SUBJECT: Final = "no such subject in the gallery"


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
