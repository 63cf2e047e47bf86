"""Networks of our own: a switch in a network namespace, hosts in others, cables between them.

Nothing here touches the networks of the machine: a host sees the other hosts and the switch, and
nothing else. Addresses are 10.79.0.x, because Transmission refuses peers of 127.x.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess

from process import LIBC, Process

PREFIX = "shoal-compare-"
SWITCH_ADDRESS = "10.79.0.1"
CLONE_NEWNET = 0x40000000


class NetError(Exception):
    """The system refuses a network; the text says what was tried."""


def _ip(*words, check=True):
    command = ["ip", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise NetError(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout


def _delete(namespace):
    """Ends what still runs in the namespace and removes it."""
    for pid in _ip("netns", "pids", namespace, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "del", namespace, check=False)


def is_left_over(name):
    """Whether a namespace or folder of that name is ours and its process is no more."""
    found = re.match(rf"{PREFIX}(\d+)-", name)
    return found is not None and not os.path.exists(f"/proc/{found[1]}")


def sweep():
    """Removes the namespaces of runs that were killed; gives their names."""
    names = [line.split()[0] for line in _ip("netns", "list", check=False).splitlines() if line]
    dead = [name for name in names if is_left_over(name)]
    for name in dead:
        _delete(name)
    return dead


class Net:
    """A switch and `hosts` hosts, each host's upload shaped to `up_mbit` when given.

    `routed`: hosts see the switch alone, which routes between them. Else each knows the hardware
    address of each other, and of those the kernel keeps 1,024, of all namespaces together.
    """

    def __init__(self, hosts, up_mbit=None, routed=False):
        self._names, self._routed = [], routed
        try:
            self._switch = self._namespace("switch")
            _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", self._switch, "addr", "add", f"{SWITCH_ADDRESS}/24", "dev", "br0")
            _ip("-n", self._switch, "link", "set", "br0", "up")
            if routed:
                for key, value in (("ip_forward", 1), ("conf/all/send_redirects", 0),
                                   ("conf/br0/send_redirects", 0)):
                    self._set(f"/proc/sys/net/ipv4/{key}", value)
            self._hosts = [self._host(number, up_mbit) for number in range(hosts)]
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes everything, and ends what still runs in it."""
        while self._names:
            _delete(self._names[-1])
            self._names.pop()

    def _namespace(self, word):
        name = f"{PREFIX}{os.getpid()}-{word}"
        self._names.append(name)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _host(self, number, up_mbit):
        name, port = self._namespace(f"host{number}"), f"port{number}"
        peer = ["peer", "name", port, "netns", self._switch]
        _ip("-n", name, "link", "add", "eth0", "type", "veth", *peer)
        length = 32 if self._routed else 24
        _ip("-n", name, "addr", "add", f"{self.address(number)}/{length}", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        if self._routed:
            _ip("-n", name, "route", "add", SWITCH_ADDRESS, "dev", "eth0")
        _ip("-n", name, "route", "add", "default", "via", SWITCH_ADDRESS)
        _ip("-n", self._switch, "link", "set", port, "master", "br0", "up")
        if up_mbit:
            shape = ["tbf", "rate", f"{up_mbit}mbit", "burst", "64k", "latency", "100ms"]
            command = ["tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", *shape]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NetError(f"`{' '.join(command)}`: {done.stderr.strip()}")
        return name

    def _set(self, path, value):
        _ip("netns", "exec", self._switch, "sh", "-c", f"echo {value} > {path}")

    def address(self, host):
        """The address of the host of that number."""
        return f"10.79.0.{host + 2}"

    def start(self, host, argv, folder):
        """Starts a program on the host, or beside the switch for None; it logs to folder/log."""
        name = self._switch if host is None else self._hosts[host]
        folder.mkdir(parents=True, exist_ok=True)
        return Process(["ip", "netns", "exec", name, *argv], folder, folder / "log")

    @contextlib.contextmanager
    def inside(self):
        """Sockets opened here are opened beside the switch. Only for a program of one thread."""
        with open("/proc/self/ns/net", "rb") as home, \
                open(f"/var/run/netns/{self._switch}", "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise NetError(f"setns: {os.strerror(ctypes.get_errno())}")
