"""What a process costs: its memory and its time on the processors, as the kernel counts them."""

import os
from pathlib import Path


def resident_bytes(process_id: int) -> int:
    """Resident bytes of one process."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def processor_s(process_id: int) -> float:
    """Seconds that one process's threads have run, in it and in the kernel for it."""
    return _run_s(Path(f"/proc/{process_id}/stat"))


def main_thread_s(process_id: int) -> float:
    """The same of its first thread alone."""
    return _run_s(Path(f"/proc/{process_id}/task/{process_id}/stat"))


def _run_s(stat: Path) -> float:
    fields = stat.read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime


def children_of(process_id: int) -> list[int]:
    """The processes that one has started, and theirs."""
    children: list[int] = []
    for task in Path(f"/proc/{process_id}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            children += [int(child), *children_of(int(child))]
    return children


def family_of(process_id: int) -> list[int]:
    """A process and all that it has started."""
    return [process_id, *children_of(process_id)]
