"""What every client is: a job, a program in its host's namespace, and a word that it is whole."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from net import Net
from process import Cpu

SEED, LEECH = "seed", "leech"


@dataclass
class Job:
    """What a client is started for: `data` holds, or shall hold, the content; `work` is its own."""

    net: Net
    host: int
    role: str
    torrent: Path
    data: Path
    work: Path


def first_line(argv):
    """What a program says first, None when it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else None


def head_start_of(process):
    """Seconds and Cpu that an interpreter took to start, as libtorrent_job.py tells them."""
    words = process.said().partition("LIBTORRENT BEGINS ")[2].split()[:3]
    if len(words) < 3:
        return 0.0, Cpu()
    moment, user, system = (float(word) for word in words)
    return moment - process.began, Cpu(user, system)


class Client:
    """A started client."""

    name = ""
    # The programs that it needs, and what provides them.
    programs = ()
    source = ""

    def __init__(self, job):
        self.job = job
        job.data.mkdir(parents=True, exist_ok=True)
        job.work.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.process = job.net.start(job.host, self.argv(), job.work)

    @classmethod
    def version(cls):
        """Its version when it is here, else None."""
        if all(shutil.which(program) for program in cls.programs):
            return first_line([cls.programs[0], "--version"])
        return None

    def prepare(self):
        """Writes what it reads at its start."""

    def argv(self):
        """The command."""
        raise NotImplementedError

    def begin(self):
        """Gives it the torrent, where that is not part of its command."""

    def whole(self):
        """Whether it says that its copy is whole."""
        return (self.job.work / "whole").exists()

    def head_start(self):
        """Seconds and Cpu before it could begin, which are not the client's own."""
        return 0.0, Cpu()

    def hook(self):
        """A script that says that the copy is whole."""
        path = self.job.work / "hook"
        path.write_text(f"#!/bin/sh\n: > '{self.job.work}/whole'\n", encoding="utf-8")
        path.chmod(0o755)
        return path
