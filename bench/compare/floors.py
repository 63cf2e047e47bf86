"""The machine's own floor as rows of the tables: the same bytes without a protocol, without hashes,
without a decision.
"""

import sys
from functools import partial
from pathlib import Path

from net import Net
from run import GIB
from table import OK, Contestant, Outcome

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "floor.py"
WAYS = HERE / "ways.py"
PORT = "7000"


def cost_of(text):
    """The figures of a `COST bytes wall user system` line, None without one."""
    words = text.partition("COST ")[2].split()[:4]
    if len(words) < 4:
        return None
    size, wall, user, system = (float(word) for word in words)
    gib = size / GIB
    return {"wall": wall, "wall_per_gib": wall / gib, "cpu": (user + system) / gib,
            "user": user / gib, "system": system / gib}


def _outcome(process, seconds):
    code = process.wait(seconds)
    cost = cost_of(process.said())
    if code is None:
        return Outcome(f"did not finish in {seconds:g} s")
    return Outcome(OK, cost) if cost else Outcome(f"ended early: {process.last_words()}")


def _tcp(run, size, side):
    with Net(2) as net:
        folder = run.fresh("floor")
        receiver = net.start(
            1, [sys.executable, SCRIPT, "receive", folder / "copy", PORT], folder / "receive")
        sender = net.start(
            0, [sys.executable, SCRIPT, "send", run.content(size), net.address(1), PORT],
            folder / "send")
        outcomes = {"send": _outcome(sender, run.patience(size)),
                    "receive": _outcome(receiver, run.patience(size))}
        run.fresh("floor")
        return outcomes[side]


def tcp_floor(run, size, side):
    """One thread at each end; the receiver writes what it reads into a file."""
    return Contestant(f"floor: raw TCP, {side}", partial(_tcp, run, size, side))


def _way(run, size, side, way):
    with Net(2) as net:
        folder = run.fresh("floor")
        receive, send = [SCRIPT, "receive"], [SCRIPT, "send"]
        if side == "send":
            send = [WAYS, "send", way]
        else:
            receive = [WAYS, "receive", way, str(size)]
        receiver = net.start(
            1, [sys.executable, *receive, folder / "copy", PORT], folder / "receive")
        sender = net.start(
            0, [sys.executable, *send, run.content(size), net.address(1), PORT], folder / "send")
        outcomes = {"send": _outcome(sender, run.patience(size)),
                    "receive": _outcome(receiver, run.patience(size))}
        run.fresh("floor")
        return outcomes[side]


def ways(run, size):
    """The ways between a socket and a file, each at its end; the other end is the floor's."""
    named = {
        "receive": {"pwrite": "received, then pwrite", "window": "received into a mapping"},
        "send": {"writev": "sent out of a mapping", "sendfile": "sent by sendfile",
                 "zerocopy": "sent by MSG_ZEROCOPY"},
    }
    return [Contestant(text, partial(_way, run, size, side, way))
            for side, texts in named.items() for way, text in texts.items()]


def _in_memory(run, size, what):
    with Net(0) as net:
        argv = [sys.executable, SCRIPT, what, run.content(size)]
        outcome = _outcome(net.start(None, argv, run.fresh("floor")), run.patience(size))
        # Beside the wall time of many cores and of waiting, that of one core says nothing.
        for key in ("wall", "wall_per_gib"):
            outcome.figures.pop(key, None)
        return outcome


def memory_floors(run, size):
    """What hashing each byte once, and moving it once, costs one core."""
    names = {"sha1": "floor: SHA-1, one core", "memcpy": "floor: memcpy, one core"}
    return [Contestant(name, partial(_in_memory, run, size, what)) for what, name in names.items()]
