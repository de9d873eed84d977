"""How galleries lie in Redis: keys, arguments of scripts, and the way from replies back to faces."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from typing import Self

from contract.spaces import FeatureSpace
from service.galleries.redis_features import HALF, from_half, half_precision
from service.galleries.values import (
    NO_METADATA,
    Approximation,
    Claim,
    Copy,
    Face,
    FaceRecord,
    GalleryInfo,
    HeldRendition,
    Original,
    Rendition,
)

GALLERIES_KEY = "r3an:galleries"  # the names of all galleries, each with its incarnation
NOTES_KEY = "r3an:notes"
FIRST_COPY = 1
TAG_SEPARATOR = "\x1f"  # in no tag
FACE_FIELDS = ("subject", "tags", "enrolled_at_ms", "metadata")
CONFIDENCE = struct.Struct("<f")

Texts = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class HeldCopy:
    """One copy; `number` is new with every copy begun, `faces` how many it holds, `translators` made some of them."""

    number: int
    space: FeatureSpace
    faces: int
    approximation: Approximation | None = None
    translators: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """A gallery and where its parts lie. All its keys share the hash tag `{name}`; the names of all galleries do not.

    `incarnation` is new with every creation and part of every key: what is left of a dropped gallery never shows in
    the next of its name. So is a copy's number part of its index's name.
    """

    name: str
    incarnation: str
    copies: tuple[HeldCopy, ...]  # the serving one first
    faces: int
    subjects: int
    origins: Mapping[str, int]
    dropped: Mapping[str, int]  # spaces of copies whose features still lie in the faces, and the copies' numbers

    @classmethod
    def read(cls, name: str, fields: Mapping[bytes, bytes]) -> Self:
        """The record as it was stored."""
        values = {name.decode(): value.decode() for name, value in fields.items()}
        copies = [values[role].split(" ") for role in ("serving", "second") if role in values]
        return cls(
            name,
            values["incarnation"],
            tuple(
                HeldCopy(
                    int(number),
                    FeatureSpace(id=space, dim=int(dim)),
                    int(values.get(f"held:{space}", 0)),
                    _approximation(values.get(f"approximation:{space}")),
                    {translator: int(count) for translator, count in _with_prefix(values, f"made:{space} ")},
                )
                for number, dim, space in copies
            ),
            faces=int(values.get("faces", 0)),
            subjects=int(values.get("subjects", 0)),
            origins={space: int(count) for space, count in _with_prefix(values, "origin:")},
            dropped={space: int(number.split(" ")[0]) for space, number in _with_prefix(values, "dropped:")},
        )

    @property
    def info(self) -> GalleryInfo:
        """The gallery as the store describes it."""
        copies = tuple(
            Copy(copy.space, copy.faces, copy.approximation, copy.translators, f"{self.incarnation}:{copy.number}")
            for copy in self.copies
        )
        return GalleryInfo(self.name, self.copies[0].space, self.faces, self.subjects, copies, self.incarnation)

    def copy_in(self, space: FeatureSpace) -> HeldCopy | None:
        """The copy in this space."""
        return next((copy for copy in self.copies if copy.space == space), None)

    def shares_copy(self, other: "GalleryRecord", copy: HeldCopy) -> bool:
        """Whether this copy is in both records of a gallery, read at different times."""
        return self.incarnation == other.incarnation and copy.number in (held.number for held in other.copies)

    def index(self, number: int, *, approximate: bool = False) -> str:
        """Name of a copy's index."""
        return f"{self._base}:{'neighbours' if approximate else 'index'}:{number}"

    @property
    def faces_key(self) -> str:
        """Key of the sorted set of all face ids."""
        return f"{self._base}:faces"

    @property
    def described_key(self) -> str:
        """Key of what is kept with subjects."""
        return f"{self._base}:described"

    def face_key(self, face_id: str) -> str:
        """Key of a face; without an id, the prefix of all."""
        return f"{self._base}:face:{face_id}"

    def subject_key(self, subject: str) -> str:
        """Key of the set of a subject's face ids."""
        return f"{self._base}:subject:{subject}"

    @property
    def _base(self) -> str:
        return f"{key_of(self.name)}:{self.incarnation}"


def key_of(gallery: str) -> str:
    """Key of a gallery's record; its existence is the gallery's."""
    return f"r3an:{{{gallery}}}"


def dropped_key_of(gallery: str) -> str:
    """Key of the record of a dropped gallery that is still to be purged."""
    return f"{key_of(gallery)}:dropped"


def tally_key_of(key: str) -> str:
    """Key of named counts. They lie where the notes do."""
    return f"{{{NOTES_KEY}}}:tally:{key}"


def upsert_arguments(
    faces: Sequence[Face], original: Rendition, translated: Sequence[Rendition]
) -> Iterator[str | int | bytes]:
    """What the script UPSERT is told after the bound."""
    renditions = (original, *translated)
    yield len(renditions)
    for rendition in renditions:
        yield from (rendition.space.id, rendition.space.dim, rendition.translator or "")
    columns = [
        column for rendition in renditions for column in (half_precision(rendition.features), confidences(rendition))
    ]
    for face, *held in zip(faces, *columns, strict=True):
        metadata = "" if face.metadata == NO_METADATA else face.metadata
        yield from (face.face_id, face.subject, TAG_SEPARATOR.join(face.tags), face.enrolled_at_ms)
        yield from (metadata, face.subject_metadata or "", *held)


def fill_arguments(claim: Claim, renditions: Sequence[Rendition]) -> Iterator[str | int | bytes]:
    """What the script FILL is told of each face of a claim."""
    rows = (
        (feature, rendition.translator or "", confidence)
        for rendition in renditions
        for feature, confidence in zip(half_precision(rendition.features), confidences(rendition), strict=True)
    )
    for original, row in zip(claim.originals, rows, strict=True):
        yield from (original.face.face_id, original.revision, *row)


def confidences(rendition: Rendition) -> list[bytes]:
    """The confidence of each row, empty where it is not modelled."""
    if rendition.confidence is None:
        return [b""] * len(rendition.features)
    return [CONFIDENCE.pack(confidence) for confidence in rendition.confidence]


def read_face(face_id: str, fields: Texts, of_subject: bytes | None = None) -> Face:
    """A face from its FACE_FIELDS, and what is kept with its subject."""
    subject, tags, enrolled_at_ms, metadata = (None if field is None else field.decode() for field in fields)
    return Face(
        face_id,
        subject or "",
        split_tags(tags or ""),
        int(enrolled_at_ms or 0),
        metadata or NO_METADATA,
        None if of_subject is None or of_subject.decode() == NO_METADATA else of_subject.decode(),
    )


def split_tags(tags: str) -> tuple[str, ...]:
    """Tags as they were joined."""
    return tuple(tags.split(TAG_SEPARATOR)) if tags else ()


def record_fields(record: GalleryRecord) -> list[str]:
    """What `read_record` needs of a face."""
    held = ("feature", "translator", "confidence")
    return [*FACE_FIELDS, "origin", *(f"{part}:{copy.space.id}" for copy in record.copies for part in held)]


def read_record(record: GalleryRecord, face_id: str, fields: Texts) -> FaceRecord:
    """All of a face from its `record_fields`."""
    held = []
    for place, copy in enumerate(record.copies):
        feature, translator, confidence = fields[5 + 3 * place : 8 + 3 * place]
        if feature is not None:
            trust = None if confidence is None else CONFIDENCE.unpack(confidence)[0]
            held.append(HeldRendition(copy.space.id, None if translator is None else translator.decode(), trust))
    origin = fields[4] or b""
    return FaceRecord(read_face(face_id, fields[:4]), origin.decode(), tuple(sorted(held, key=lambda one: one.space)))


def read_originals(rows: Sequence[Sequence[bytes]]) -> list[Original]:
    """Originals as the script ORIGINALS answers."""
    return [
        Original(
            read_face(face_id.decode(), fields, of_subject),
            _space(origin.decode(), len(feature) // HALF.itemsize),
            from_half([feature], len(feature) // HALF.itemsize)[0],
            int(revision),
        )
        for face_id, *fields, of_subject, origin, revision, feature in rows
    ]


@lru_cache(maxsize=64)
def _space(space: str, dim: int) -> FeatureSpace:
    return FeatureSpace(id=space, dim=dim)


def approximation_text(approximation: Approximation) -> str:
    """How an approximation is kept: its fields with blanks between."""
    return " ".join(str(value) for value in astuple(approximation))


def _approximation(text: str | None) -> Approximation | None:
    if text is None:
        return None
    built_at_ms, faces, probes, *recall = text.split(" ")
    return Approximation(int(built_at_ms), int(faces), int(probes), *map(float, recall))


def _with_prefix(values: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    return ((field.removeprefix(prefix), value) for field, value in values.items() if field.startswith(prefix))
