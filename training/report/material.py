"""What a section of the report is made from, and what it is."""

from dataclasses import dataclass

from contract.vectors import Features
from training.images import Images
from training.proof import Stage
from training.report.run import Run
from training.report.tables import Table

REPORT_COMMAND = "r3an report --run {folder} --pairs FILE"


@dataclass(frozen=True, slots=True)
class Paintings:
    """Held-out faces and what each method with a generator paints from their features; column k is one face."""

    subjects: list[int]  # [K]: which columns show one person; numbers of this figure, not identities
    real: Images  # [K, 56, 56, 3]
    painted: dict[str, Images]  # method -> [K, 56, 56, 3]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The held-out stage and every method's translations of its probes."""

    stage: Stage
    translated: dict[str, Features]  # method -> [P, dt]
    paintings: Paintings | None = None
    no_paintings: str = "Paintings need the pairs with their images, which this page was made without."


@dataclass(frozen=True, slots=True)
class Material:
    """Everything there is; without evidence only what lies in files can be drawn."""

    run: Run
    evidence: Evidence | None

    @property
    def shown(self) -> tuple[str, ...]:
        """Methods that a figure with a panel for each shows: the winner, and the best that paints faces."""
        painting = [] if self.evidence is None or self.evidence.paintings is None else self.evidence.paintings.painted
        painters = [name for name in self.run.summary.methods if name in painting]
        return tuple(dict.fromkeys([self.run.summary.winner, *painters[:1]]))


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure as PNG."""

    name: str  # of its file, without suffix
    alt: str  # what it shows, in words
    png: bytes
    photographs: bool = False  # left as they are on a dark page


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, how to read what follows, and the pictures and tables; or why there are none."""

    id: str
    title: str
    text: str
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    absent: str = ""
    command: str = ""  # which makes what is absent
    notes: tuple[str, ...] = ()
