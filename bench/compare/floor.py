"""What the machine can do at all, on one core: raw TCP into a file, SHA-1, memcpy. Python is only
the clerk here: every step is one system call or one call into C of 256 KiB or more.

As a program: floor.py send FILE ADDRESS PORT, floor.py receive FILE PORT, floor.py sha1|memcpy
FILE. Prints `COST bytes wall user system` of the work alone, without the start of the interpreter.
"""

import hashlib
import mmap
import os
import resource
import socket
import sys
import time

READ = 256 * 1024


# Of memory alone, more than this shows nothing more.
IN_MEMORY_MAX = 256 * 1024 * 1024


class Cost:
    """Measures what stands in its block and prints it."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.began, self.before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        return self

    def __exit__(self, kind, *_):
        wall, now = time.monotonic() - self.began, resource.getrusage(resource.RUSAGE_SELF)
        if kind is None:
            user = now.ru_utime - self.before.ru_utime
            system = now.ru_stime - self.before.ru_stime
            print("COST", self.size, wall, user, system, flush=True)


def connect(address, port):
    """A connection to who may listen a little later."""
    end = time.monotonic() + 20
    while True:
        try:
            link = socket.create_connection((address, int(port)), 20)
            link.settimeout(None)
            return link
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def send(path, address, port):
    """Out of a mapping, so the only copy is the kernel's."""
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    link = connect(address, port)
    view = memoryview(content)
    with Cost(len(view)), link:
        at = 0
        while at < len(view):
            at += link.send(view[at:at + 4 * READ])
    return 0


def receive(path, port):
    """The time before the first byte is not counted."""
    with socket.create_server(("", int(port))) as server, open(path, "wb", buffering=0) as file:
        link, _ = server.accept()
        buffer = memoryview(bytearray(READ))
        got, at = link.recv_into(buffer), 0
        with Cost(0) as cost:
            while got:
                at += os.pwrite(file.fileno(), buffer[:got], at)
                got = link.recv_into(buffer)
            cost.size = at
    return 0


def sha1(path):
    """Of memory that is touched already, in pieces of 1 MiB."""
    with open(path, "rb") as file:
        content = memoryview(file.read(IN_MEMORY_MAX))
    with Cost(len(content)):
        for at in range(0, len(content), 1 << 20):
            hashlib.sha1(content[at:at + (1 << 20)]).digest()
    return 0


def memcpy(path):
    """Between two buffers that no cache holds and that are touched already."""
    with open(path, "rb") as file:
        content = bytearray(file.read(IN_MEMORY_MAX))
    copy = bytearray(content)
    with Cost(len(content)):
        copy[:] = content
    return 0


if __name__ == "__main__":
    jobs = {"send": send, "receive": receive, "sha1": sha1, "memcpy": memcpy}
    sys.exit(jobs[sys.argv[1]](*sys.argv[2:]))
