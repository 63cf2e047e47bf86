"""Figures that several tables show."""

from run import GIB, MIB
from table import Column

CPU = (
    Column("cpu", "cpu s/GiB", ratio=True),
    Column("user", "user"),
    Column("system", "sys"),
)
MEMORY = (Column("anonymous", "anon MiB", 0), Column("mapped", "file MiB", 0))


def per_gib(cpu, size):
    """The figures of `CPU`."""
    gib = size / GIB
    return {"cpu": (cpu.user + cpu.system) / gib, "user": cpu.user / gib,
            "system": cpu.system / gib}


def memory(processes):
    """The figures of `MEMORY`: of the largest of them."""
    return {"anonymous": max(process.anonymous for process in processes) / MIB,
            "mapped": max(process.mapped for process in processes) / MIB}


def text_of(size):
    """A size for people."""
    return f"{size / GIB:g} GiB" if size >= GIB else f"{size / MIB:g} MiB"
