"""Nodes of the DHT, one a port: libtorrent_dht.py BOOTSTRAP ADDRESS:PORT... Says who knows how many nodes, again and again."""
import sys, time, warnings
import libtorrent as lt

warnings.simplefilter("ignore", DeprecationWarning)
bootstrap, *addresses = sys.argv[1:]
sessions = [lt.session({
    "listen_interfaces": address, "enable_dht": True, "dht_bootstrap_nodes": bootstrap,
    # All nodes are in one subnet here, at addresses that are nobody's.
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "alert_mask": 0,
}) for address in addresses]
while True:
    print("KNOWS", min(session.status().dht_nodes for session in sessions), flush=True)
    time.sleep(0.2)
