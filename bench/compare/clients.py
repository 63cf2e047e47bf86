"""The clients: how each is found, started as a seeder or a leecher, and how it says that it is
whole.

Each runs unmodified with its own defaults but for what a closed network needs (no DHT, no local
discovery, no port mapping, plain TCP where there is a choice) and what would hold a rival back
here; README.md lists those settings.
"""

import json
import os
import time
import urllib.request
from pathlib import Path

from client import Client, first_line, head_start_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PORT = 6881
RQBIT_ASKED_EVERY_S = 0.05
# A proxy of this machine knows nothing of our networks.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Ours(Client):
    """Shoal."""

    name = "ours"
    source = "cargo build --release"

    @classmethod
    def binary(cls):
        """$SHOAL_BIN, else the release build."""
        target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
        return os.path.abspath(
            os.environ.get("SHOAL_BIN") or Path(target) / "release" / "shoal")

    @classmethod
    def version(cls):
        return first_line([cls.binary(), "--version"])

    def argv(self):
        port = [str(PORT), "--json", "--no-lsd", "--no-dht", "--dir", self.job.data]
        return [self.binary(), "client", self.job.torrent, *port]

    def whole(self):
        return '"event":"complete"' in self.process.said()


class Libtorrent(Client):
    """libtorrent-rasterbar, driven by libtorrent_job.py."""

    name = "libtorrent"
    source = "pip install libtorrent; SHOAL_LIBTORRENT_PYTHON names the python that has it"

    @classmethod
    def python(cls):
        """The python that has libtorrent."""
        return os.environ.get("SHOAL_LIBTORRENT_PYTHON", "python3")

    @classmethod
    def version(cls):
        line = first_line([cls.python(), "-c", "import libtorrent as l; print(l.__version__)"])
        return f"libtorrent {line}" if line and line[0].isdigit() else None

    def argv(self):
        job = self.job
        script = [self.python(), HERE / "libtorrent_job.py", job.role]
        return [*script, job.torrent, job.data, f"{job.net.address(job.host)}:{PORT}"]

    def whole(self):
        return "WHOLE" in self.process.said()

    def head_start(self):
        return head_start_of(self.process)


class Aria2(Client):
    """aria2."""

    name = "aria2"
    programs = ("aria2c",)
    source = "apt-get install aria2"

    def argv(self):
        closed = ["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--disable-ipv6",
                  "--bt-enable-lpd=false", "--summary-interval=0", f"--listen-port={PORT}"]
        faster = ["--bt-seed-unverified=true", "--file-allocation=none", "--disk-cache=64M",
                  "--bt-max-peers=0", "--bt-request-peer-speed-limit=1000M"]
        ends = ["--seed-ratio=0.0", f"--on-bt-download-complete={self.hook()}"]
        return ["aria2c", *closed, *faster, *ends, "-d", self.job.data, self.job.torrent]


class Transmission(Client):
    """Transmission's daemon."""

    name = "transmission"
    programs = ("transmission-daemon", "transmission-remote")
    source = "apt-get install transmission-daemon transmission-cli"

    def prepare(self):
        job = self.job
        settings = {
            "bind-address-ipv4": job.net.address(job.host), "cache-size-mb": 64,
            "dht-enabled": False, "download-dir": str(job.data), "encryption": 0,
            "lpd-enabled": False, "peer-port": PORT, "port-forwarding-enabled": False,
            "preallocation": 0, "rpc-authentication-required": False,
            "rpc-bind-address": "127.0.0.1", "script-torrent-done-enabled": True,
            "script-torrent-done-filename": str(self.hook()), "utp-enabled": False,
            "watch-dir-enabled": False,
        }
        (job.work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    def argv(self):
        return ["transmission-daemon", "--foreground", "--config-dir", self.job.work]

    def begin(self):
        add = ["transmission-remote", "127.0.0.1:9091", "--add", self.job.torrent]
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.exit_code() is None:
            asked = self.job.net.start(self.job.host, add, self.job.work / "add")
            if asked.wait(5) == 0 and "success" in asked.said():
                return
            asked.stop()
            time.sleep(0.05)


class Rqbit(Client):
    """rqbit."""

    name = "rqbit"
    programs = ("rqbit",)
    source = "cargo install rqbit"
    asked = 0.0

    def address(self):
        """Where its HTTP interface listens."""
        return f"{self.job.net.address(self.job.host)}:3030"

    def argv(self):
        closed = ["-v", "error", "--http-api-listen-addr", self.address(), "--disable-dht",
                  "--disable-lsd", "--disable-upnp-port-forward", "--listen-port", str(PORT)]
        data = ["-o", self.job.data, "--overwrite", self.job.torrent]
        return ["rqbit", *closed, "download", *data]

    def whole(self):
        # Each question costs it time of its own.
        if time.monotonic() - self.asked < RQBIT_ASKED_EVERY_S:
            return False
        self.asked = time.monotonic()
        url = f"http://{self.address()}/torrents/0/stats/v1"
        try:
            with self.job.net.inside(), DIRECT.open(url, timeout=2) as answer:
                return json.load(answer).get("finished") is True
        except (OSError, ValueError):
            return False


CLIENTS = {client.name: client for client in (Ours, Libtorrent, Aria2, Transmission, Rqbit)}
