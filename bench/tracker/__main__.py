"""Our tracker beside others: answers per CPU second, over UDP and HTTP. `just tracker-load`.

Each tracker runs on the first core alone and the load on the second; only the tracker's CPU seconds
count. All trackers are started and filled first, and measured in turns whose order is reversed in
every other round, so that what else the machine does meets all of them. A tracker whose answers are
wrong is out.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


class Tracker:
    """One that runs, and how it is asked."""

    def __init__(self, name, command, protocols, files=()):
        self.name, self.protocols = name, protocols
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o755)
        self.port = free_port()
        for path, text in files:
            pathlib.Path(self.folder.name, path).write_text(text.format(port=self.port))
        command = [word.format(port=self.port, folder=self.folder.name) for word in command]
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
        )
        time.sleep(1)
        if self.process.poll() is not None:
            sys.exit(f"{name} does not start: {command}")

    def load(self, options, protocol, **more):
        words = [f"{name}={value}" for name, value in more.items()]
        command = [
            *("taskset", "-c", "1", options.load, protocol, f"127.0.0.1:{self.port}"),
            *(f"pid={self.process.pid}", f"torrents={options.torrents}", f"peers={options.peers}"),
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{self.name} {protocol}: {done.stderr.strip()[-400:]}", file=sys.stderr)
        return json.loads(done.stdout) if done.stdout.startswith("{") else None

    def memory_mib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


AQUATIC = """socket_workers = 1
[network]
address = "127.0.0.1:{port}"
[cleaning]
max_peer_age = 7200
max_connection_age = 120
[protocol]
max_response_peers = 50
"""


def hashes(torrents):
    """The info hashes of the load, as `swarms.rs` makes them."""
    for torrent in range(torrents):
        mixed = torrent * 0x9E3779B97F4A7C15 % 2**64
        yield (mixed.to_bytes(8, "little") + torrent.to_bytes(4, "big")).hex() + "00" * 8


def trackers(options):
    all_three = ["udp", "http", "http-close"]
    address = "127.0.0.1:{port}"
    ours = ["tracker", "--no-state", "--listen", address, "--status-every", "0"]
    yield Tracker("ours", [options.ours, *ours], all_three)
    if options.before:
        # One that old keeps no state.
        old = [word for word in ours if word != "--no-state"]
        yield Tracker("ours, tide alone", [options.before, *old], all_three[1:])
    if shutil.which("opentracker"):
        command = ["opentracker", "-i", "127.0.0.1", "-p", "{port}", "-P", "{port}"]
        # Debian's serves listed torrents alone.
        command += ["-d", "{folder}", "-u", "nobody", "-w", "listed"]
        listed = [("listed", "\n".join(hashes(options.torrents)) + "\n")]
        # It closes after each answer.
        yield Tracker("opentracker", command, ["udp", "http-close"], listed)
    if options.aquatic:
        command = [options.aquatic, "-c", "{folder}/aquatic.toml"]
        yield Tracker("aquatic_udp", command, ["udp"], [("aquatic.toml", AQUATIC)])


def measure(options, running, protocol):
    """Medians over the rounds, by tracker; and their latency under half of their own load."""
    there = [tracker for tracker in running if protocol in tracker.protocols]
    figures = {tracker.name: [] for tracker in there}
    for number in range(options.rounds):
        for tracker in there if number % 2 == 0 else reversed(there):
            one = tracker.load(options, protocol, fill=0, seconds=options.seconds)
            if one and one["wrong"] == 0:
                figures[tracker.name].append(one)
    for tracker in there:
        rounds = figures[tracker.name]
        if not rounds:
            print(f"{protocol:11} {tracker.name:17} no right answers")
            continue
        per_cpu = statistics.median(one["per_cpu_second"] for one in rounds)
        rate = int(statistics.median(one["per_second"] for one in rounds) / 2)
        slow = {"fill": 0, "seconds": options.seconds, "rate": rate}
        halves = [tracker.load(options, protocol, **slow) for _ in range(options.rounds)]
        halves = [half for half in halves if half and half["wrong"] == 0]
        if not halves:
            print(f"{protocol:11} {tracker.name:17} no right answers at {rate}/s")
            continue
        p50 = statistics.median(half["p50_us"] for half in halves)
        p99 = sorted(half["p99_us"] for half in halves)
        thousands = [one["per_cpu_second"] / 1000 for one in rounds]
        spread = f"{min(thousands):.1f}–{max(thousands):.1f}"
        lost = sum(one["lost"] for one in rounds)
        print(
            f"{protocol:11} {tracker.name:17} {per_cpu / 1000:7.1f} k/CPU s ({spread})"
            f"   at {rate / 1000:.1f} k/s: p50 {p50:.0f} µs, p99 {statistics.median(p99):.0f} µs"
            f" ({p99[0]}–{p99[-1]})"
            f"   lost {lost}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(prog="bench/tracker", description=__doc__)
    parser.add_argument("--ours", default=str(ROOT / "target/release/shoal"))
    parser.add_argument("--load", default=str(ROOT / "target/release/tracker-load"))
    parser.add_argument("--before", help="a `shoal` of an older commit, over HTTP alone")
    parser.add_argument("--aquatic", default=shutil.which("aquatic_udp"))
    parser.add_argument("--torrents", type=int, default=100_000)
    parser.add_argument("--peers", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="udp,http,http-close")
    options = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the tracker, one for the load")
    running = []
    try:
        for tracker in trackers(options):
            running.append(tracker)
            before, begun = tracker.memory_mib(), time.monotonic()
            tracker.load(options, tracker.protocols[0], seconds=0)
            took = time.monotonic() - begun
            each = (tracker.memory_mib() - before) * 1024 * 1024 / options.peers
            print(
                f"{tracker.name}: {options.peers} peers of {options.torrents} torrents"
                f" in {took:.0f} s, {each:.0f} bytes each",
                flush=True,
            )
        for protocol in options.only.split(","):
            measure(options, running, protocol)
    finally:
        for tracker in running:
            tracker.stop()


main()
