"""One torrent in libtorrent: libtorrent_client.py {seed|leech} TORRENT|MAGNET DIR ADDRESS [lsd]. Says DONE when it is whole."""
import sys, time
import libtorrent as lt

role, torrent, directory, address, *more = sys.argv[1:]
session = lt.session({
    "listen_interfaces": f"{address}:6881",
    "enable_dht": False, "enable_lsd": "lsd" in more, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2, "alert_mask": 0,
})
if torrent.startswith("magnet:"):
    parameters = lt.parse_magnet_uri(torrent)
else:
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
parameters.save_path = directory
handle = session.add_torrent(parameters)
told = False
while True:
    if handle.status().is_seeding and not told:
        print("DONE", flush=True)
        told = True
    time.sleep(0.05)
