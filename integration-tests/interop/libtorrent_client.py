"""One torrent in libtorrent: libtorrent_client.py {seed|leech} TORRENT|MAGNET DIR ADDRESS[,ADDRESS] [lsd] [scrape] [dht=HOST:PORT]. Says METADATA when it has that of a magnet, DONE when it is whole, SCRAPED seeders leechers when it has scraped then."""
import sys, time, warnings
import libtorrent as lt

warnings.simplefilter("ignore", DeprecationWarning)
role, torrent, directory, address, *more = sys.argv[1:]
bootstrap = "".join(word[4:] for word in more if word.startswith("dht="))
session = lt.session({
    "listen_interfaces": ",".join(f"{one}:6881" for one in address.split(",")),
    "enable_dht": bool(bootstrap), "dht_bootstrap_nodes": bootstrap, "dht_announce_interval": 10,
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "enable_lsd": "lsd" in more, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2, "alert_mask": lt.alert.category_t.tracker_notification if "scrape" in more else 0,
})
if torrent.startswith("magnet:"):
    parameters = lt.parse_magnet_uri(torrent)
else:
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
parameters.save_path = directory
if bootstrap:
    # Nobody but the DHT shall name peers; and it is asked when it knows somebody.
    parameters.flags |= lt.torrent_flags.disable_pex
    while session.status().dht_nodes < 3:
        time.sleep(0.05)
handle = session.add_torrent(parameters)
said = set()
while True:
    status = handle.status()
    for word, is_so in [("METADATA", status.has_metadata), ("DONE", status.is_seeding)]:
        if is_so and word not in said:
            print(word, flush=True)
            said.add(word)
            if word == "DONE" and "scrape" in more:
                handle.scrape_tracker()
    for alert in session.pop_alerts():
        if isinstance(alert, lt.scrape_reply_alert) and "DONE" in said:
            print("SCRAPED", alert.complete, alert.incomplete, flush=True)
    time.sleep(0.05)
