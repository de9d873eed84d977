"""Judge an exported translator on two Parquet files of features: probes, and an enrolled gallery."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from contract.errors import ContractError
from contract.manifest import MODEL_FILE, TranslatorManifest, read_manifest
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features
from training import columns
from training.bootstrap import count_subjects
from training.columns import DISTRACTOR, IDENTITY, IMAGE_ID, Digests
from training.errors import DataError
from training.identification import FARS, FPIRS, judge
from training.pairs import allocate, parquet_files
from training.repeats import check_image_ids, check_vectors, first_shared, likeness, refusal

TRANSLATE_ROWS = 512


@dataclass(frozen=True, slots=True)
class _Faces:
    """One file's rows."""

    path: Path
    identities: NDArray[np.int32]  # [N]; -1: a distractor
    features: dict[str, Features]  # space id -> [N, dim], raw
    digests: dict[str, Digests]  # image_id, if there, and each space -> [N, 2]
    files: list[Path]
    file_rows: list[int]

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def known(self) -> NDArray[np.int32]:
        return np.asarray(self.identities[self.identities != DISTRACTOR])


def evaluate(version_dir: Path, probes: Path, gallery: Path) -> dict[str, Any]:
    """Rank-1, TAR@FAR and FNIR@FPIR with 95 % intervals of translated probes, and of both native spaces.

    `probes` has the manifest's source column, `gallery` its target column; identity -1 is a distractor. The native
    judgements need one space on both sides and are null where a file has no such column; a rate is null where there
    are too few comparisons to measure it.

    Raises:
        DataError: a translator, file, column or row that cannot be used, by name.
    """
    manifest = _manifest(version_dir)
    source, target = manifest.source, manifest.target
    shown = _read(probes, source, target)
    enrolled = _read(gallery, target, source)
    _check_mates(shown, enrolled)
    _check_apart(shown, enrolled)
    translated = translate(version_dir, shown.features[source.id], target.dim)
    natives = {
        space: _judge(shown, shown.features[space], enrolled, space)
        for space in (source.id, target.id)
        if space in shown.features and space in enrolled.features
    }
    return {
        "translator": manifest.id,
        "version": manifest.version,
        "method": str(manifest.method),
        "source": source.id,
        "target": target.id,
        "probes": len(shown),
        "gallery": len(enrolled),
        "gallery_subjects": count_subjects(enrolled.identities),
        "distractors": int((~np.isin(enrolled.identities, shown.known)).sum()),
        "translated": _judge(shown, translated, enrolled, target.id),
        "source_native": natives.get(source.id),
        "target_native": natives.get(target.id),
    }


def translate(version_dir: Path, features: Features, target_dim: int) -> Features:
    """Run `model.pt` over raw features [N, ds]; returns [N, dt].

    Raises:
        DataError: the model cannot be run on such features, or answers with something other than features.
    """
    model_file = version_dir / MODEL_FILE
    translated = np.empty((len(features), target_dim), np.float32)
    try:
        model = _load(model_file)
        with torch.inference_mode():
            for first in range(0, len(features), TRANSLATE_ROWS):
                rows = slice(first, first + TRANSLATE_ROWS)
                answer = model(torch.from_numpy(np.array(features[rows]))).numpy()
                check_features(answer, target_dim)
                translated[rows] = answer
    except (RuntimeError, ContractError) as error:
        raise DataError(str(model_file), f"cannot translate: {str(error).splitlines()[0]}") from error
    return translated


def _load(model_file: Path) -> torch.jit.ScriptModule:
    model: torch.jit.ScriptModule = torch.jit.load(str(model_file), map_location="cpu")  # type: ignore[no-untyped-call] # torch's
    return model.eval()


def _manifest(version_dir: Path) -> TranslatorManifest:
    try:
        return read_manifest(version_dir.resolve())
    except ContractError as error:
        raise DataError(str(version_dir), f"not a usable translator version: {error}") from error


def _read(path: Path, needed: FeatureSpace, optional: FeatureSpace) -> _Faces:
    """The needed space's column, and the optional one's if it is there, through bounded parts into mapped memory."""
    files = parquet_files(path)
    present = columns.feature_spaces(files[0])
    spaces = [needed, *([optional] if optional.id in present else [])]
    for space in spaces:
        if (found := columns.dimension(files[0], space.id)) != space.dim:
            raise DataError(str(files[0]), f"dimension {found}, the translator has {space.dim}", column=space.id)
    names = [IDENTITY, *([IMAGE_ID] if IMAGE_ID in columns.schema_of(files[0]).names else [])]
    for file in files:
        columns.check_columns(file, names, {space.id: space.dim for space in spaces})
    file_rows = [int(pq.read_metadata(file).num_rows) for file in files]
    rows = sum(file_rows)
    if rows == 0:
        raise DataError(str(path), "holds no rows")
    identities = np.empty(rows, np.int32)
    features = {space.id: _nameless(rows, space.dim) for space in spaces}
    digests = {name: np.empty((rows, 2), np.uint64) for name in (*names[1:], *features)}
    first = 0
    for file in files:
        for part in columns.read_parts(file, [*names, *features]):
            target = slice(first, first + part.batch.num_rows)
            identities[target] = columns.identities(part)
            if IMAGE_ID in digests:
                digests[IMAGE_ID][target] = columns.image_id_digests(part)
            for name, vectors in features.items():
                vectors[target] = columns.features(part, name)
                digests[name][target] = columns.vector_digests(vectors[target])
            first = target.stop
    if IMAGE_ID in digests:
        check_image_ids(digests[IMAGE_ID], files, file_rows)
    for name in features:
        check_vectors(digests[name], identities, name, files, file_rows)
    return _Faces(path, identities, features, digests, files, file_rows)


def _nameless(rows: int, dim: int) -> Features:
    """Features [rows, dim] in a mapped file without a name, which ends with the process, however that ends."""
    with tempfile.TemporaryDirectory(prefix="r3an-evaluate-") as folder:
        return allocate(Path(folder) / "features.npy", (rows, dim), np.float32)


def _check_mates(probes: _Faces, gallery: _Faces) -> None:
    if not np.isin(probes.known, gallery.identities).any():
        raise DataError(str(probes.path), f"no identity of it is in {gallery.path}", column=IDENTITY)
    if len(np.unique(gallery.identities)) < 2:
        raise DataError(str(gallery.path), "holds one subject only; there is nobody to take it for", column=IDENTITY)


def _check_apart(probes: _Faces, gallery: _Faces) -> None:
    """Refuse a probe that is enrolled itself: it would be found however bad the translator is.

    By its image id where both files tell it, as they often have no space in common.
    """
    for column in [column for column in probes.digests if column in gallery.digests]:
        shared = first_shared(probes.digests[column], gallery.digests[column])
        if shared is not None:
            reason = f"{likeness(column)} as in a row of {gallery.path}"
            raise refusal(reason, column, shared, probes.files, probes.file_rows)


def _judge(shown: _Faces, probes: Features, gallery: _Faces, space: str) -> dict[str, Any]:
    judged = judge(probes, shown.identities, gallery.features[space], gallery.identities).model_dump(mode="json")
    # A rate that the number of comparisons cannot support is null, so that nobody takes its absence for an oversight.
    judged["tar_at_far"] = {far: judged["tar_at_far"].get(far) for far in FARS}
    judged["fnir_at_fpir"] = {fpir: judged["fnir_at_fpir"].get(fpir) for fpir in FPIRS}
    return judged
