"""Programs that make a .torrent or check content against one, over the same warm file."""

import os
import re
import shutil
from dataclasses import dataclass

from client import first_line, head_start_of
from clients import HERE, Aria2, Libtorrent, Ours
from net import Net
from run import GIB, MIB, TRACKER
from table import OK, Outcome

URL = f"http://{TRACKER}/announce"


@dataclass(frozen=True)
class Tool:
    """`command` takes the content, the torrent and a folder of its own, and gives the command."""

    name: str
    command: object
    is_rival: bool = True


def _ours_creates(content, _torrent, work):
    made = ["--piece-length", str(MIB), "-o", work / "made.torrent"]
    return [Ours.binary(), "create", content, URL, *made]


def _mktorrent(content, _torrent, work):
    threads = str(len(os.sched_getaffinity(0)))
    # -l 20: pieces of 2^20 bytes.
    return ["mktorrent", "-t", threads, "-l", "20", "-a", URL, "-o", work / "made.torrent", content]


def _libtorrent_creates(content, _torrent, work):
    script = [Libtorrent.python(), HERE / "libtorrent_job.py", "create"]
    return [*script, content, str(MIB), work / "made.torrent"]


def _ours_checks(content, torrent, _work):
    return [Ours.binary(), "verify", torrent, "--dir", content.parent]


def _libtorrent_checks(content, torrent, _work):
    script = [Libtorrent.python(), HERE / "libtorrent_job.py", "check"]
    return [*script, torrent, content.parent, "127.0.0.1:6881"]


def _aria2_checks(content, torrent, _work):
    closed = ["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]
    check = ["--check-integrity=true", "--hash-check-only=true", "--summary-interval=0"]
    return ["aria2c", *closed, *check, "-d", content.parent, torrent]


def mktorrent_version():
    """Its version when it is here, else None."""
    return first_line(["mktorrent", "-h"]) if shutil.which("mktorrent") else None


def creators(found):
    """Those that make torrents."""
    tools = {Ours.name: Tool("ours", _ours_creates, False),
             "mktorrent": Tool("mktorrent", _mktorrent),
             Libtorrent.name: Tool("libtorrent", _libtorrent_creates)}
    return [tool for name, tool in tools.items() if name in found]


def checkers(found):
    """Those that check content; the others have no command that does only that."""
    tools = {Ours.name: Tool("ours", _ours_checks, False),
             Libtorrent.name: Tool("libtorrent", _libtorrent_checks),
             Aria2.name: Tool("aria2", _aria2_checks)}
    return [tool for name, tool in tools.items() if name in found]


def _costs(run, size, tool):
    """One run; gives the outcome and the folder that holds what was made."""
    work = run.fresh("tool")
    with Net(1) as net:
        torrent = run.torrent(net, size, MIB)
        # Reads it into the page cache, should it have left.
        run.copy_is_good(run.content(size).parent, size)
        os.sync()
        process = net.start(0, tool.command(run.content(size), torrent, work), work)
        patience = run.patience(size)
        code = process.wait(patience)
        wall = process.lifetime_s()
        cpu = process.stop()
        if code is None:
            return Outcome(f"did not finish in {patience:g} s"), work
        if code:
            return Outcome(f"failed ({code}): {process.last_words()}"), work
        start_wall, start_cpu = head_start_of(process)
        cpu, gib = cpu.minus(start_cpu), size / GIB
        return Outcome(OK, {
            "wall": wall - start_wall, "cpu": (cpu.user + cpu.system) / gib,
            "user": cpu.user / gib, "system": cpu.system / gib,
            "anonymous": process.anonymous / MIB, "mapped": process.mapped / MIB}), work


def piece_hashes(torrent):
    """The value of `pieces`, None without one."""
    found = re.search(rb"6:pieces(\d+):", torrent)
    return torrent[found.end():found.end() + int(found[1])] if found else None


def create_with(run, size, tool):
    """A .torrent is made, and its piece hashes are those that ours has."""
    outcome, work = _costs(run, size, tool)
    if outcome.word == OK:
        ours = run.folder / "content" / f"{size}-1-{MIB}.torrent"
        made = work / "made.torrent"
        if piece_hashes(made.read_bytes()) != piece_hashes(ours.read_bytes()):
            return Outcome("ITS PIECE HASHES DIFFER FROM OURS")
    return outcome


def check_with(run, size, tool):
    """The content is found good."""
    return _costs(run, size, tool)[0]
