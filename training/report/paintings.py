"""Fig. 4: real faces above what a generator paints from their features. Held-out people only."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from training.comparison import Rows
from training.images import Images
from training.models.generator import Generator
from training.models.translator import Translator
from training.pairs import PairedFeatures
from training.report.material import Material, Paintings, Picture, Section
from training.report.style import new_figure, png
from training.report.subjects import faces_of_most_photographed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUBJECTS, FACES_OF_EACH = 8, 3
SUBJECTS_A_BLOCK = 4
GAP = 0.25  # of a face, between two subjects
WARNING = (
    "These pictures are biometric data: keep this report as carefully as the faces themselves. The generator paints a "
    "person's face from a stored feature, which makes it a template-inversion attack; it leaves training only here, "
    "and no exported translator returns what it paints."
)


def generator_of(translator: Translator) -> Generator | None:
    """The part that paints; None for a method without one."""
    return next((part for part in translator.network.modules() if isinstance(part, Generator)), None)


def paint(pairs: PairedFeatures, source: str, held_out: Rows, translators: dict[str, Translator]) -> Paintings:
    """Real and painted faces of the held-out people with most."""
    assert pairs.images is not None  # noqa: S101 - the caller has read them
    places, subjects = faces_of_most_photographed(pairs.identities[held_out], SUBJECTS, FACES_OF_EACH)
    rows = held_out[places]
    raw = np.asarray(pairs.features[source][rows])  # [K, ds]
    painted = {name: _paint(translator, raw) for name, translator in translators.items()}
    return Paintings([int(number) for number in subjects], np.asarray(pairs.images[rows]), painted)


@torch.inference_mode()
def _paint(translator: Translator, raw: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Images:
    generator = generator_of(translator)
    assert generator is not None  # noqa: S101 - chosen by it
    translator.eval()
    faces = generator(translator.prepare(torch.from_numpy(raw)))  # [K, 3, 56, 56] in [-1, 1]
    pixels = ((faces + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).numpy())  # [K, 56, 56, 3]


def section(material: Material) -> Section:
    """The paper's Fig. 4."""
    title = "Painted from a feature"
    text = (
        "Top row: photos of people nobody trained on. Beneath: what the generator paints from the source feature of "
        "the same photo. Photos of one person should give much the same painting, whatever the pose and the light."
    )
    evidence = material.evidence
    if evidence is None or evidence.paintings is None:
        absent = evidence.no_paintings if evidence else "Paintings need the pairs with their images."
        return Section("paintings", title, text, absent=absent, command=_command(material))
    paintings = evidence.paintings
    alt = (
        f"{len(paintings.real)} photos of {max(paintings.subjects) + 1} people, each above the faces painted from "
        f"its feature by {', '.join(paintings.painted)}."
    )
    picture = Picture("paintings", alt, png(draw(paintings)), photographs=True)
    return Section("paintings", title, text, pictures=(picture,), notes=(WARNING,))


def _command(material: Material) -> str:
    painters = [name for name in material.run.summary.training if name.startswith(("r3an", "arch"))]
    if not painters:
        return "r3an bakeoff --methods r3an"
    return f"r3an report --run {material.run.folder} --pairs FILE"


def draw(paintings: Paintings) -> Figure:
    """Blocks of four subjects: the photos, and a row for each method."""
    names = ["photo", *paintings.painted]
    rows = [paintings.real, *paintings.painted.values()]
    subjects = np.asarray(paintings.subjects)
    blocks = [
        np.flatnonzero(subjects // SUBJECTS_A_BLOCK == block) for block in np.unique(subjects // SUBJECTS_A_BLOCK)
    ]
    widest = max(_places(subjects[columns])[-1] + 1 for columns in blocks)
    figure = new_figure(0.2 + len(blocks) * (len(rows) + 0.25) * 6.8 / widest)
    panels: list[Axes] = list(figure.subplots(len(blocks), 1, squeeze=False)[:, 0])
    for axes, columns in zip(panels, blocks, strict=True):
        places = _places(subjects[columns])
        for height, images in enumerate(rows):
            for place, column in zip(places, columns, strict=True):
                axes.imshow(
                    images[column], extent=(place, place + 0.97, height + 0.97, height), interpolation="bicubic"
                )
        axes.set(xlim=(0, widest), ylim=(len(rows), 0), aspect="equal", xticks=[])
        axes.set_yticks([height + 0.5 for height in range(len(rows))], names)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def _places(subjects: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Left edge of each column, a gap between two subjects."""
    changes = np.concatenate([[0], np.diff(subjects) != 0])
    return np.arange(len(subjects)) + GAP * np.cumsum(changes)
