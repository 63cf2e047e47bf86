"""One transfer between real clients: from an empty network to copies that were compared."""

import os
import shutil
import time
from dataclasses import dataclass

from client import LEECH, SEED, Job
from net import Net
from process import Cpu, until
from run import GIB, TRACKER
from table import OK
from tracker import Tracker

# How long a seeder may take to check its content and announce: at least, and for each GiB.
READY_S, READY_S_PER_GIB = 30.0, 60.0


@dataclass(frozen=True)
class Swarm:
    """One seeder and some leechers of given kinds, and what they move."""

    seeder: type
    leecher: type
    leechers: int
    size: int
    piece_length: int
    up_mbit: float = None
    files: int = 1
    routed: bool = False
    patience: float = None


# Whose memory is looked at: looking at hundreds would cost more than their work.
SAMPLED_MAX = 8


class Transfer:
    """One run of a swarm. After `go` all its processes have ended and all its files are gone."""

    def __init__(self, run, swarm):
        self.run, self.swarm = run, swarm
        self.patience = swarm.patience or run.patience(swarm.size * swarm.leechers)
        self.leechers = []
        # Seconds from the start of the first leecher to the word of each that it is whole.
        self.walls = {}
        self.seeder_cpu = self.leecher_cpu = Cpu()

    def go(self):
        """Gives `OK`, or the word for what went wrong."""
        run, swarm = self.run, self.swarm
        folder = run.fresh("transfer")
        try:
            with Net(swarm.leechers + 1, swarm.up_mbit, swarm.routed) as net:
                torrent = run.torrent(net, swarm.size, swarm.piece_length, swarm.files)
                tracker = Tracker(net, torrent, TRACKER, folder / "tracker")
                try:
                    return self._with(net, tracker, torrent, folder)
                finally:
                    tracker.process.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _with(self, net, tracker, torrent, folder):
        run, swarm = self.run, self.swarm
        (folder / "seed").mkdir()
        run.place(swarm.size, swarm.files, folder / "seed")
        job = Job(net, 0, SEED, torrent, folder / "seed", folder / "seed-work")
        self.seeder = swarm.seeder(job)
        try:
            word = self._ready(tracker)
            return word if word != OK else self._leech(net, torrent, folder)
        finally:
            self.seeder.process.stop()
            for leecher in self.leechers:
                leecher.process.stop()

    def _ready(self, tracker):
        """Waits until the seeder has told the tracker that it has everything."""
        self.seeder.begin()
        process, address = self.seeder.process, self.seeder.job.net.address(0)
        patience = READY_S + READY_S_PER_GIB * self.swarm.size / GIB
        ready = until(
            lambda: address in tracker.seeds() or process.exit_code() is not None,
            patience, every=0.1)
        if process.exit_code() is not None:
            return f"the {self.seeder.name} that seeds ended early: {process.last_words()}"
        return OK if ready else f"{self.seeder.name} was no seeder after {patience:.0f} s"

    def _leech(self, net, torrent, folder):
        swarm = self.swarm
        # What was written before is not to be charged to this run.
        os.sync()
        before = self.seeder.process.cpu()
        for number in range(swarm.leechers):
            data, work = folder / f"leech{number}", folder / f"leech{number}-work"
            job = Job(net, number + 1, LEECH, torrent, data, work)
            self.leechers.append(swarm.leecher(job))
        for leecher in self.leechers:
            leecher.begin()
        sampled = (self.seeder, *self.leechers[:SAMPLED_MAX])
        processes = [client.process for client in sampled]
        every = 0.02 if swarm.leechers == 1 else 0.05 if swarm.leechers <= SAMPLED_MAX else 0.2
        until(self._ended, self.patience, processes, every)
        word = self._word()
        for client in (*self.leechers, self.seeder):
            client.process.ask_to_end()
        self.seeder_cpu = self.seeder.process.stop().minus(before)
        cpus = [leecher.process.stop().minus(leecher.head_start()[1]) for leecher in self.leechers]
        for cpu in cpus:
            self.leecher_cpu = self.leecher_cpu.plus(cpu)
        if word == OK:
            copies = [leecher.job.data for leecher in self.leechers]
            good = all(self.run.copy_is_good(copy, swarm.size, swarm.files) for copy in copies)
            word = OK if good else "THE CONTENT DIFFERS"
        return word

    def _ended(self):
        """Notes who is whole; true when all are, or one never will be."""
        began = self.leechers[0].process.began
        for number, leecher in enumerate(self.leechers):
            if number not in self.walls and leecher.whole():
                wall = time.monotonic() - began - leecher.head_start()[0]
                self.walls[number] = wall
        return len(self.walls) == len(self.leechers) or self._dead() is not None

    def _dead(self):
        """A client that ended though it is needed."""
        waiting = [one for number, one in enumerate(self.leechers) if number not in self.walls]
        ended = [one for one in (self.seeder, *waiting) if one.process.exit_code() is not None]
        return ended[0] if ended else None

    def _word(self):
        whole, all_of_them = len(self.walls), len(self.leechers)
        if whole == all_of_them:
            return OK
        dead = self._dead()
        if dead:
            return f"{dead.name} ended early ({dead.job.role}): {dead.process.last_words()}"
        of_them = f" ({whole} of {all_of_them} did)" if all_of_them > 1 else ""
        return f"did not finish in {self.patience:g} s{of_them}"
