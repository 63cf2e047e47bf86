"""Our own tracker beside the switch, which brings the clients together and knows who has what."""

import json

from clients import Ours


class Tracker:
    """A started tracker; its log tells which hosts are there with what."""

    def __init__(self, net, torrent, listen, work):
        argv = [Ours.binary(), "tracker", torrent, "--no-state", "--listen", listen, "--interval", "10"]
        self.process = net.start(None, [*argv, "--status-every", "1", "--json"], work)

    def seeds(self):
        """Addresses of hosts that say that they have everything."""
        return seeds_of_log(self.process.said())


def seeds_of_log(text):
    """Addresses of the seeders in the newest status of the tracker's JSON events."""
    # What stands after the last end of line is not yet whole.
    lines = text.rpartition("\n")[0].splitlines()
    newest = [line for line in lines if '"event":"status"' in line][-1:]
    torrents = [torrent for line in newest for torrent in json.loads(line)["torrents"]]
    peers = [peer for torrent in torrents for peer in torrent["peers"]]
    return {peer["address"].rpartition(":")[0] for peer in peers if peer["left"] == 0}
