"""The command line."""

import argparse
import math
import os
import re
import tempfile

from clients import CLIENTS
import costs
from roles import COMPARED, NAMES, Sizes
from run import GIB, MIB

HELP = """\
Runs Shoal beside whatever it finds of libtorrent, rqbit, aria2, Transmission and mktorrent, in turn
(A B C A B C), and prints medians, ratios to the best rival of the same round, and what the machine
itself costs for the same bytes.
"""
MORE = """\
roles:
  leech   each client takes SIZE from one fixed counterpart: wall, CPU seconds per GiB, memory
  seed    each client gives SIZE to one fixed counterpart
  swarm   a seeder and eight leechers of the same client, unshaped: wall and CPU per GiB delivered
  shaped  the same with 20 Mbit/s up each: the last completion over the fluid limit
  create  `shoal create` beside mktorrent and libtorrent
  check   `shoal verify` beside the checks of libtorrent and aria2
 only when named:
  ways    what the system charges for each way between a socket and a file, without a client
 only when named, ours alone, each row beside the first (`just costs` runs them all):
  peers   a seeder and 1, 10, 50, 200 leechers
  pieces  a leecher from a seeder, in pieces of 256 KiB, 1 MiB and 16 MiB
  files   the same, and making and checking the torrent, with 1 and 100,000 files
  starts  a client starts with 1 TiB of holes in 65,536 pieces, first and again

examples:
  sudo -E python3 bench/compare --quick              a minute: does it work here?
  sudo -E python3 bench/compare                      everything; half an hour and more
  sudo -E python3 bench/compare --only leech,seed --size 2GiB --runs 5 --require aria2
  sudo -E python3 bench/compare --only create --json > create.json

environment:
  SHOAL_BIN                 the binary to compare, instead of target/release/shoal
  SHOAL_LIBTORRENT_PYTHON   the python that has libtorrent, instead of python3

Exit status: 0 all runs were good, 1 one did not finish or its content differs, 2 it could not begin,
130 interrupted. Stop whatever else the machine does first: the last line says how much that was.
README.md beside this tells the method.
"""
UNITS = {"": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": GIB}
KNOWN = (*CLIENTS, "mktorrent")
# Not None, which is an answer.
UNSAID = object()


def size(text):
    """Bytes of `64MiB`; whole MiB, since pieces are that long."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB|)", text)
    value = float(found[1]) * UNITS[found[2]] if found else math.nan
    if not found or value < MIB or value % MIB:
        raise argparse.ArgumentTypeError(f"{text}: a size in whole MiB, like 64MiB or 1GiB")
    return int(value)


def warm(text):
    """Bytes to touch, None for all, 0 for none."""
    return {"all": None, "none": 0}.get(text) if text in ("all", "none") else size(text)


def names_of(known):
    """A type for comma-separated names out of the known ones."""
    def names(text):
        found = [name for name in text.split(",") if name]
        strange = [name for name in found if name not in known]
        if strange or not found:
            raise argparse.ArgumentTypeError(f"{text}: choose of {', '.join(known)}")
        return sorted(set(found), key=known.index)
    return names


def count(text):
    """A number from 1 up."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 up")
    return int(text)


def positive(text):
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0")
    return value


def _parser():
    parser = argparse.ArgumentParser(
        prog="compare", description=HELP, epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true",
        help="64 MiB, one round, 1 GiB of memory touched: shows that it works, not who is faster")
    add("--only", type=names_of(NAMES), default=list(COMPARED), metavar="ROLES",
        help=f"only these of {','.join(NAMES)}")
    add("--clients", type=names_of(KNOWN), default=list(KNOWN), metavar="NAMES",
        help=f"ours and only these of {','.join(KNOWN)}")
    add("--require", type=names_of(KNOWN), default=[], metavar="NAMES",
        help="these must be there: a missing one is an error")
    add("--runs", type=count, metavar="N", help="rounds [default: 3]")
    add("--size", type=size, metavar="SIZE", help="content of leech and seed [default: 1GiB]")
    add("--swarm-size", type=size, metavar="SIZE", help="content of swarm [default: 256MiB]")
    add("--shaped-size", type=size, metavar="SIZE", help="content of shaped [default: 64MiB]")
    add("--create-size", type=size, metavar="SIZE",
        help="content of create and check [default: 2GiB]")
    add("--leechers", type=count, default=8, metavar="N", help="in the swarms [default: 8]")
    add("--up", type=positive, default=20.0, metavar="MBIT",
        help="upload of each client in shaped, in Mbit/s [default: 20]")
    add("--warm", type=warm, default=UNSAID, metavar="all|none|SIZE",
        help="memory to touch first, so that nobody pays for that [default: all]")
    add("--limit", type=positive, metavar="SECONDS",
        help="for each run; chosen by the size otherwise")
    add("--dir", default=tempfile.gettempdir(),
        help="where the files are written and removed again [default: %(default)s]")
    add("--json", action="store_true", help="one JSON object instead of tables")
    return parser


def parse(words=None):
    """The options, with what --quick leaves open filled in."""
    parser = _parser()
    options = parser.parse_args(words)
    # Ours makes the torrents and the tracker, so it always takes part.
    options.clients = names_of(KNOWN)(",".join(["ours", *options.clients]))
    options.dir = os.path.abspath(options.dir)
    quick = options.quick
    if options.warm is UNSAID:
        options.warm = GIB if quick else None
    options.runs = options.runs or (1 if quick else 3)
    options.sizes = Sizes(
        pair=options.size or (64 * MIB if quick else GIB),
        swarm=options.swarm_size or (64 * MIB if quick else 256 * MIB),
        shaped=options.shaped_size or (16 * MIB if quick else 64 * MIB),
        create=options.create_size or (64 * MIB if quick else 2 * GIB),
        leechers=options.leechers, up_mbit=options.up,
        scale=costs.QUICK if quick else costs.FULL)
    return options
