"""The machine: what it is, what else it does, its memory touched, its disk not filled."""

import mmap
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time

from process import die_with_parent

GIB = 1 << 30
# Of the memory that is available, what `warm` touches: the rest keeps the machine alive.
WARM_SHARE = 0.85
WARM_STEP = 256 << 20
# Left free on the disk beside what a run needs.
DISK_SPARE = GIB


def _first(pattern, path, default="unknown"):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return default
    return found.group(1) if found else default


def memory_available():
    """Bytes, by the kernel's own estimate."""
    return int(_first(r"^MemAvailable:\s+(\d+)", "/proc/meminfo", "0")) * 1024


def file_system(path):
    """The kind of the innermost mount that holds the path."""
    done = subprocess.run(["df", "--output=fstype", path], capture_output=True, text=True,
                          check=False)
    return "".join(done.stdout.split()[1:2]) or "unknown"


def describe(folder):
    """What the figures depend on."""
    return {
        "cpu": _first(r"^(?:model name|Processor)\s*:\s*(.+)$", "/proc/cpuinfo"),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "memory_available": memory_available(),
        "file_system": file_system(folder),
        "load_average": round(os.getloadavg()[0], 2),
    }


def busy(stat):
    """Seconds of all processors in the first line of /proc/stat: of programs, stolen by the host.

    Interrupts are left out: they are those of our own traffic for the most part.
    """
    ticks = [int(field) for field in stat.split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, _irq, _softirq, steal = ticks
    per_s = os.sysconf("SC_CLK_TCK")
    return (user + nice + system) / per_s, steal / per_s


class Others:
    """What the machine did meanwhile that was not our work: such figures are worth less."""

    def __init__(self):
        self._began = self._now()

    @staticmethod
    def _now():
        with open("/proc/stat", encoding="utf-8") as file:
            used, stolen = busy(file.read())
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.monotonic(), used, stolen, sum(one.ru_utime + one.ru_stime for one in own)

    def shares(self):
        """Of the machine's processor time since the start: others' work, the host's theft."""
        wall, used, stolen, own = (
            now - before for now, before in zip(self._now(), self._began, strict=True))
        whole = max(wall * (os.cpu_count() or 1), 1e-9)
        return max(0.0, used - own) / whole, stolen / whole


def warm(size=None):
    """Touches that many bytes, or nearly all memory; gives bytes and seconds.

    In a child that the kernel kills first, should memory be short after all.
    """
    goal = int(memory_available() * WARM_SHARE)
    goal = goal if size is None else min(goal, size)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_with_parent()
            with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
                file.write("1000")
            kept = []
            while len(kept) * WARM_STEP < goal:
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
                kept.append(mmap.mmap(-1, WARM_STEP, flags=flags))
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        print("compare: memory ended before all of it was touched", file=sys.stderr)
    return goal, time.monotonic() - began


def disk_refusal(folder, needed):
    """Why the work does not fit, None when it does."""
    free = shutil.disk_usage(folder).free
    if free >= needed + DISK_SPARE:
        return None
    return (f"{folder} has {free / GIB:.1f} GiB free, and this needs {needed / GIB:.1f} GiB and"
            f" {DISK_SPARE / GIB:.0f} GiB to spare: choose smaller sizes, fewer roles with --only,"
            " or another --dir")
