"""What is compared: each role gives a table, with who takes part in it and how one run of them
goes.
"""

import os
from dataclasses import dataclass
from functools import partial

import costs
from clients import Aria2, Libtorrent, Ours, Rqbit, Transmission
from figures import CPU, MEMORY, memory, per_gib, text_of
from floors import memory_floors, tcp_floor, ways
from run import GIB, MIB
from table import OK, Column, Contestant, Outcome, Role
from tools import check_with, checkers, create_with, creators
from transfer import Swarm, Transfer

# Who stands at the other end of a pair: the first of these that is here.
COUNTERPARTS = (Libtorrent, Aria2, Ours)
PIECE = MIB


@dataclass(frozen=True)
class Sizes:
    """Bytes of content for each role, and the shape of the swarms."""

    pair: int
    swarm: int
    shaped: int
    create: int
    leechers: int
    up_mbit: float
    scale: costs.Scale = costs.FULL

    def disk(self, names):
        """Bytes on the disk at once for the roles of those names."""
        copies = {
            "leech": (self.pair, 1), "seed": (self.pair, 1), "ways": (self.pair, 1),
            "create": (self.create, 0), "check": (self.create, 0), "swarm": (self.swarm, self.leechers),
            "shaped": (self.shaped, self.leechers), **self.scale.copies(),
        }
        kept = {copies[name][0] for name in names}
        return sum(kept) + max(copies[name][0] * copies[name][1] for name in names)


def fluid_limit(size, leechers, up_mbit):
    """Seconds in which a seeder can at best complete the leechers, when only uploads are limited.

    Source: Kumar and Ross, "Peer-assisted file distribution: the minimum distribution time", 2006.
    """
    up = up_mbit * 1e6 / 8
    return max(size / up, leechers * size / (up + leechers * up))


def pair(name, run, sizes, client, counterpart):
    """The client takes the content from the counterpart (leech), or gives it (seed)."""
    ends = (counterpart, client) if name == "leech" else (client, counterpart)
    transfer = Transfer(run, Swarm(*ends, 1, sizes.pair, PIECE))
    word = transfer.go()
    if word != OK:
        return Outcome(word)
    ours, cpu = ((transfer.leechers[0], transfer.leecher_cpu) if name == "leech"
                 else (transfer.seeder, transfer.seeder_cpu))
    return Outcome(OK, {"wall": transfer.walls[0], **per_gib(cpu, sizes.pair),
                        **memory([ours.process])})


def swarm(run, sizes, client):
    """One seeder and leechers of the same kind, as fast as the machine goes."""
    transfer = Transfer(run, Swarm(client, client, sizes.leechers, sizes.swarm, PIECE))
    word = transfer.go()
    if word != OK:
        return Outcome(word)
    cpu = transfer.seeder_cpu.plus(transfer.leecher_cpu)
    delivered = sizes.swarm * sizes.leechers
    wall = max(transfer.walls.values())
    processes = [one.process for one in (transfer.seeder, *transfer.leechers)]
    return Outcome(OK, {"wall": wall, "wall_per_gib": wall * GIB / delivered,
                        **per_gib(cpu, delivered), **memory(processes)})


def shaped(run, sizes, client):
    """The same with a limit on each upload: how well it shares, not how fast it computes."""
    fluid = fluid_limit(sizes.shaped, sizes.leechers, sizes.up_mbit)
    kind = Swarm(client, client, sizes.leechers, sizes.shaped, PIECE // 4, sizes.up_mbit,
                 patience=run.limit or 60 + 8 * fluid)
    transfer = Transfer(run, kind)
    word = transfer.go()
    if word != OK:
        return Outcome(word)
    walls = transfer.walls.values()
    return Outcome(OK, {"last": max(walls), "first": min(walls), "limit": fluid,
                        "over": max(walls) / fluid})


def _pair_role(name, run, sizes, found):
    counterpart = next(client for client in COUNTERPARTS if client in found)
    rows = [Contestant(client.name, partial(pair, name, run, sizes, client, counterpart),
                       client is not Ours) for client in found]
    rows += [tcp_floor(run, sizes.pair, "receive" if name == "leech" else "send")]
    rows += memory_floors(run, sizes.pair)
    way = "from" if name == "leech" else "to"
    title = f"{name}: {text_of(sizes.pair)} in pieces of 1 MiB {way} {counterpart.name}"
    return Role(name, title, (Column("wall", "wall s", ratio=True), *CPU, *MEMORY), rows)


def _swarm_role(name, one_run, run, sizes, found):
    rows = [Contestant(client.name, partial(one_run, run, sizes, client), client is not Ours)
            for client in found]
    if name == "swarm":
        title = (f"swarm: a seeder and {sizes.leechers} leechers of the same client on this"
                 f" machine, {text_of(sizes.swarm)}, unshaped; per GiB delivered")
        columns = (Column("wall_per_gib", "wall s/GiB", ratio=True), *CPU, *MEMORY)
        return Role(name, title, columns, rows + memory_floors(run, sizes.swarm))
    title = (f"shaped: a seeder and {sizes.leechers} leechers of the same client,"
             f" {sizes.up_mbit:g} Mbit/s up each, {text_of(sizes.shaped)} in pieces of 256 KiB")
    columns = (Column("over", "last/limit", ratio=True), Column("last", "last s", 1),
               Column("first", "first s", 1), Column("limit", "limit s", 1))
    return Role(name, title, columns, rows)


def _tool_role(name, run, sizes, found):
    one_run, tools = (create_with, creators) if name == "create" else (check_with, checkers)
    rows = [Contestant(tool.name, partial(one_run, run, sizes.create, tool), tool.is_rival)
            for tool in tools(found)]
    rows += memory_floors(run, sizes.create)
    verb = "a .torrent made of" if name == "create" else "content checked:"
    cores = len(os.sched_getaffinity(0))
    title = f"{name}: {verb} {text_of(sizes.create)}, warm, in pieces of 1 MiB, on {cores} cores"
    return Role(name, title, (Column("wall", "wall s", ratio=True), *CPU, *MEMORY), rows)


def _ways_role(run, sizes):
    title = f"ways: {text_of(sizes.pair)} between a socket and a file, pieces of 1 MiB in no order"
    return Role("ways", title, (Column("wall", "wall s"), *CPU), ways(run, sizes.pair))


COMPARED = ("leech", "seed", "swarm", "shaped", "create", "check")
NAMES = (*COMPARED, "ways", *costs.NAMES)
EVERYONE = (Ours, Libtorrent, Rqbit, Aria2, Transmission)


def role(name, run, sizes, found):
    """The role of that name among the clients that were found, by name."""
    clients = [client for client in EVERYONE if client.name in found]
    if name in ("leech", "seed"):
        return _pair_role(name, run, sizes, clients)
    if name in ("swarm", "shaped"):
        one_run = {"swarm": swarm, "shaped": shaped}[name]
        return _swarm_role(name, one_run, run, sizes, clients)
    if name == "ways":
        return _ways_role(run, sizes)
    if name in costs.NAMES:
        return costs.role(name, run, sizes.scale)
    return _tool_role(name, run, sizes, found)
