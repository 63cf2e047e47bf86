"""How our cost grows: with peers, with the length of pieces, with files, with content. No rivals:
each row stands beside the first one of the same round.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial

from clients import Ours
from figures import CPU, MEMORY, memory, per_gib, text_of
from net import Net
from process import until
from run import GIB, MIB
from table import OK, Column, Contestant, Outcome, Role
from transfer import Swarm, Transfer

NAMES = ("peers", "pieces", "files", "starts")
LONG = 16 * MIB
PIECE_LENGTHS = (MIB // 4, MIB, LONG)
SHORT = MIB // 4


@dataclass(frozen=True)
class Scale:
    """How far it goes: numbers of leechers, of files, of long pieces; bytes of content."""

    peers: tuple
    peers_size: int
    pieces_size: int
    files: tuple
    file_size: int
    starts: tuple

    def copies(self):
        """For each role the bytes of its content, and how many copies of it are made."""
        return {"peers": (self.peers_size, max(self.peers)), "pieces": (self.pieces_size, 1),
                "files": (max(self.files) * self.file_size, 3), "starts": (0, 0)}


FULL = Scale((1, 10, 50, 200), 32 * MIB, GIB, (1, 100_000), 8 << 10, (1 << 10, 1 << 16))
QUICK = Scale((1, 4), 16 * MIB, 64 * MIB, (1, 1000), 8 << 10, (1 << 10, 1 << 16))


def _moved(run, kind):
    """A transfer that went well, or the word for why it did not."""
    transfer = Transfer(run, kind)
    word = transfer.go()
    return (transfer, word)


def peers(run, scale, count):
    """A seeder and leechers of ours; per GiB delivered, and the largest of them."""
    transfer, word = _moved(run, Swarm(Ours, Ours, count, scale.peers_size, SHORT, routed=True))
    if word != OK:
        return Outcome(word)
    cpu = transfer.seeder_cpu.plus(transfer.leecher_cpu)
    delivered = scale.peers_size * count
    wall = max(transfer.walls.values()) * GIB / delivered
    leechers = [leecher.process for leecher in transfer.leechers]
    return Outcome(OK, {"wall": wall, **per_gib(cpu, delivered),
                        "anonymous": memory([transfer.seeder.process])["anonymous"],
                        "leecher": memory(leechers)["anonymous"]})


def _pair(transfer, size):
    """Figures of both ends of a transfer to one leecher."""
    seeder, leecher = transfer.seeder.process, transfer.leechers[0].process
    return {"wall": transfer.walls[0], "leech": per_gib(transfer.leecher_cpu, size)["cpu"],
            "seed": per_gib(transfer.seeder_cpu, size)["cpu"],
            "leecher": memory([leecher])["anonymous"], "seeder": memory([seeder])["anonymous"]}


def pieces(run, scale, length):
    """One leecher from one seeder."""
    transfer, word = _moved(run, Swarm(Ours, Ours, 1, scale.pieces_size, length))
    return Outcome(OK, _pair(transfer, scale.pieces_size)) if word == OK else Outcome(word)


def files(run, scale, count):
    """The same, and making and checking the torrent; the bytes are the same in each row."""
    size = max(scale.files) * scale.file_size
    transfer, word = _moved(run, Swarm(Ours, Ours, 1, size, SHORT, files=count))
    if word != OK:
        return Outcome(word)
    figures = _pair(transfer, size)
    content, work = run.content(size, count), run.fresh("tool")
    with Net(1) as net:
        torrent = run.torrent(net, size, SHORT, count)
        made = ["--piece-length", str(SHORT), "-o", work / "made.torrent"]
        for key, words in (("create", ["create", content, "http://t.test/announce", *made]),
                           ("check", ["verify", torrent, "--dir", content.parent])):
            process = net.start(0, [Ours.binary(), *words], work)
            code = process.wait(run.patience(size))
            cpu = process.stop()
            if code != 0:
                return Outcome(f"{key} failed ({code}): {process.last_words()}")
            figures[key] = per_gib(cpu, size)["cpu"]
    return Outcome(OK, figures)


def sparse(folder, count):
    """A .torrent of long pieces and its file, all of it a hole; every second piece is zeros."""
    hashes = hashlib.sha1(bytes(LONG)).digest() + bytes([7]) * 20
    head = f"d4:infod6:lengthi{count * LONG}e4:name4:hole12:piece lengthi{LONG}e"
    body = f"6:pieces{count * 20}:".encode() + hashes * (count // 2) + b"ee"
    (folder / "hole.torrent").write_bytes(head.encode() + body)
    with open(folder / "hole", "wb") as file:
        file.truncate(count * LONG)


def start(run, count, again):
    """A client's start, until it knows what it has; again: with the journal of the first."""
    folder = run.folder / f"start-{count}"
    if not again:
        sparse(run.fresh(folder.name), count)
    command = [Ours.binary(), "client", folder / "hole.torrent", "0", "--json", "--no-tracker",
               "--no-lsd", "--no-dht", "--dir", folder, "--state-dir", folder / "state"]
    with Net(1) as net:
        process = net.start(0, command, folder / "work")
        until(lambda: '"event":"checked"' in process.said() or process.exit_code() is not None,
              run.patience(0), [process], every=0.002)
        wall, cpu = process.lifetime_s(), process.stop()
    events = [json.loads(line) for line in process.said().splitlines() if line.startswith("{")]
    checked = [event for event in events if event["event"] == "checked"]
    expected = (count // 2, 0 if again else count * LONG)
    if not checked or (checked[0]["have"], checked[0]["bytes_checked"]) != expected:
        return Outcome(f"its check was wrong: {process.last_words()}")
    return Outcome(OK, {"wall": wall, "cpu": cpu.user + cpu.system,
                        "anonymous": process.anonymous / MIB})


def _rows(run_one, names):
    """The first row is what the others stand beside."""
    return [Contestant(name, partial(run_one, value), number == 0)
            for number, (name, value) in enumerate(names)]


def role(name, run, scale):
    """The table of that name."""
    wall = Column("wall", "wall s", ratio=True)
    ends = (Column("leech", "leech s/GiB", ratio=True), Column("seed", "seed s/GiB", ratio=True),
            Column("leecher", "leecher anon MiB", 0), Column("seeder", "seeder anon MiB", 0))
    if name == "peers":
        title = f"peers: a seeder and leechers, {text_of(scale.peers_size)}; per GiB delivered"
        columns = (Column("wall", "wall s/GiB", ratio=True), *CPU,
                   Column("anonymous", "seeder anon MiB", 0),
                   Column("leecher", "leecher anon MiB", 0))
        names = [(f"{count} leechers" if count > 1 else "1 leecher", count)
                 for count in scale.peers]
        rows = _rows(partial(peers, run, scale), names)
    elif name == "pieces":
        title = f"pieces: {text_of(scale.pieces_size)} from a seeder to a leecher; CPU"
        columns = (wall, *ends)
        names = [(f"pieces of {length >> 10} KiB", length) for length in PIECE_LENGTHS]
        rows = _rows(partial(pieces, run, scale), names)
    elif name == "files":
        size = max(scale.files) * scale.file_size
        title = f"files: {size / MIB:.0f} MiB in pieces of 256 KiB, made, moved and checked; CPU"
        columns = (wall, *ends, Column("create", "create s/GiB", ratio=True),
                   Column("check", "check s/GiB", ratio=True))
        names = [(f"{count:,} files" if count > 1 else "1 file", count) for count in scale.files]
        rows = _rows(partial(files, run, scale), names)
    else:
        title = "starts: a client, until it knows what it has of a hole; pieces of 16 MiB"
        columns = (wall, Column("cpu", "cpu s", 3, ratio=True), MEMORY[0])
        names = [(f"{count * LONG / GIB:g} GiB, {word}", (count, again))
                 for count in scale.starts
                 for word, again in (("first start", False), ("again", True))]
        rows = _rows(lambda value: start(run, *value), names)
    return Role(name, title, columns, rows, "x first")
