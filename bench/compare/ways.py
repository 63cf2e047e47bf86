"""Ways between a socket and a file, tried without a protocol around them: which one a client should
take. Python is only the clerk, so of a row its system time counts.

As a program: ways.py send WAY FILE ADDRESS PORT, ways.py receive WAY FILE PORT. A sender sends the
content in blocks of 16 KiB behind heads of 13 bytes, a receiver puts pieces of 1 MiB where they
belong, in an order that is not theirs. Prints `COST bytes wall user system` like the floor.
"""

import mmap
import os
import random
import select
import socket
import sys

import floor

PIECE, BLOCK, HEAD = 1 << 20, 1 << 14, bytes(13)
# Linux; Python has no names for them.
SO_ZEROCOPY, MSG_ZEROCOPY, MADV_POPULATE_WRITE = 60, 0x4000000, 23


def _all(link, parts, flags=0):
    """Sends all of some slices."""
    total = sum(map(len, parts))
    sent = link.sendmsg(parts, (), flags)
    while sent < total:
        rest, skip = [], sent
        for part in parts:
            if skip < len(part):
                rest.append(part[skip:])
            skip = max(0, skip - len(part))
        parts, total, sent = rest, total - sent, 0
        sent = link.sendmsg(parts, (), flags)


def send_vectored(link, file, size, flags=0, behind=lambda: None):
    """Heads and slices of a mapping by one call for each piece: one copy."""
    view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    for begin in range(0, size, PIECE):
        parts = []
        for at in range(begin, min(size, begin + PIECE), BLOCK):
            parts += [HEAD, view[at:min(size, at + BLOCK)]]
        _all(link, parts, flags)
        behind()


def send_zerocopy(link, file, size):
    """The same with MSG_ZEROCOPY, whose ends are read off the error queue."""
    link.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)

    def behind():
        while select.select([], [], [link], 0)[2]:
            try:
                link.recvmsg(0, 256, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return

    # What is pinned is bounded by the system, so less at a time than a mapping may have.
    send_vectored(link, file, size, MSG_ZEROCOPY, behind)


def send_file(link, file, size):
    """A head, held back until sendfile adds its block: no copy, two calls for each block."""
    for at in range(0, size, BLOCK):
        link.sendall(HEAD, socket.MSG_MORE)
        end = min(size, at + BLOCK)
        while at < end:
            at += os.sendfile(link.fileno(), file.fileno(), at, end - at)


def _pieces(size):
    begins = list(range(0, size, PIECE))
    random.Random(1).shuffle(begins)
    return begins


def receive_buffered(link, file, size):
    """Into a buffer that stays in the caches, and from there by pwrite."""
    buffer = memoryview(bytearray(floor.READ))
    for begin in _pieces(size):
        at, end = begin, min(size, begin + PIECE)
        while at < end:
            got = link.recv_into(buffer[:end - at])
            if not got:
                raise EOFError("the sender is gone")
            at += os.pwrite(file.fileno(), buffer[:got], at)


def receive_mapped(link, file, size):
    """Straight into a mapping of the piece whose pages were brought in for writing."""
    os.posix_fallocate(file.fileno(), 0, size)
    for begin in _pieces(size):
        length = min(PIECE, size - begin)
        with mmap.mmap(file.fileno(), length, offset=begin) as window:
            window.madvise(MADV_POPULATE_WRITE)
            with memoryview(window) as view:
                at = 0
                while at < length:
                    got = link.recv_into(view[at:])
                    if not got:
                        raise EOFError("the sender is gone")
                    at += got


SENDING = {"writev": send_vectored, "zerocopy": send_zerocopy, "sendfile": send_file}
RECEIVING = {"pwrite": receive_buffered, "window": receive_mapped}


def send(way, path, address, port):
    """Sends a file in one way."""
    link = floor.connect(address, port)
    size = os.path.getsize(path)
    with open(path, "rb", buffering=0) as file, floor.Cost(size), link:
        SENDING[way](link, file, size)
    return 0


def receive(way, size, path, port):
    """Receives a file of that size in one way; the first connection counts from its first byte."""
    size = int(size)
    with socket.create_server(("", int(port))) as server, open(path, "w+b", buffering=0) as file:
        link, _ = server.accept()
        link.recv(1, socket.MSG_PEEK)
        with floor.Cost(size):
            RECEIVING[way](link, file, size)
    return 0


if __name__ == "__main__":
    jobs = {"send": send, "receive": receive}
    sys.exit(jobs[sys.argv[1]](*sys.argv[2:]))
