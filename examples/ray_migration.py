"""A gallery on many machines: the function that `r3an-gateway translate-parquet` runs, under Ray Data.

    pip install 'r3an[bulk,onnxruntime,ray]'
    python -m examples.ray_migration IN OUT --source S --target T --model-repository DIR

IN, OUT and the repository are folders that every node reaches under the same path. Ray retries a part whose node is
lost; which parts are done it does not remember from one run to the next, as the command does. Under Spark the same
function goes into `DataFrame.mapInArrow`.
"""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from service.bulk.column_names import FEATURE
from service.bulk.translation import translate_part
from service.bulk.translator import Translator, find_version

BATCH_ROWS = 2048


class Translate:
    """One actor: loads the translator once, then translates batch after batch."""

    def __init__(self, version_folder: Path, feature: str, into: str) -> None:
        self._translator = Translator(version_folder)
        self._feature = feature
        self._into = into

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Translate one batch."""
        return translate_part(batch, self._translator, self._feature, self._into)

    def close(self) -> None:
        """End the translator. Ray needs it not: an actor ends with its process."""
        self._translator.close()


def main(
    source_path: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Folder of Parquet files of one space; of an export, one of its folders."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    source: Annotated[str, typer.Option(help="Feature space of the input.")],
    target: Annotated[str, typer.Option(help="Feature space of the output.")],
    model_repository: Annotated[Path, typer.Option(help="Folder of translators.")],
    feature_column: Annotated[str, typer.Option(help="Column to translate.")] = FEATURE,
    target_column: Annotated[str, typer.Option(help="Column that takes its place.")] = FEATURE,
    actors: Annotated[int, typer.Option(min=0, help="Translators at once; 0: one for each CPU but one.")] = 0,
) -> None:
    """Translate a folder of Parquet files on all nodes of a Ray cluster, or on this machine."""
    import ray  # noqa: PLC0415 - an extra; without it the function can still be compared with the command

    version_folder, _ = find_version(model_repository.resolve(), source, target)  # verified before any actor starts
    ray.init()
    dataset = ray.data.read_parquet(str(source_path.resolve()))
    translated = dataset.map_batches(
        Translate,
        fn_constructor_args=(version_folder, feature_column, target_column),
        batch_format="pyarrow",
        batch_size=BATCH_ROWS,
        concurrency=actors or max(1, int(ray.cluster_resources()["CPU"]) - 1),  # one is left for reading and writing
    )
    translated.write_parquet(str(out.resolve()))


if __name__ == "__main__":
    typer.run(main)
