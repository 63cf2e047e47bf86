"""One job of libtorrent, run by the python that has it: libtorrent_job.py seed|leech|check TORRENT
DIR ADDRESS:PORT, or libtorrent_job.py create PATH PIECE_LENGTH OUT.

Says `LIBTORRENT BEGINS monotonic user system` when the interpreter is up, so that this is not
charged to libtorrent, and `WHOLE` when the copy is whole. It waits for alerts instead of asking
again and again, which would cost it time.
"""

import os
import resource
import signal
import sys
import time

import libtorrent as lt

CLOSED_NETWORK = {
    "enable_dht": False, "enable_lsd": False, "enable_natpmp": False, "enable_upnp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,
}
# The defaults were made for the internet; these hold nothing back on a faster network.
FASTER = {
    "max_out_request_queue": 2000,
    "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark": 8 << 20,
    "send_buffer_watermark_factor": 150,
}


def start():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print("LIBTORRENT BEGINS", time.monotonic(), usage.ru_utime, usage.ru_stime, flush=True)


def serve(role, torrent, folder, address):
    start()
    session = lt.session({
        **CLOSED_NETWORK, **FASTER, "listen_interfaces": address, "stop_tracker_timeout": 1,
        "alert_mask": lt.alert.category_t.status_notification,
    })
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
    parameters.save_path = folder
    if role == "seed":
        parameters.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(parameters)
    awaited = lt.torrent_checked_alert if role == "check" else lt.torrent_finished_alert
    while True:
        session.wait_for_alert(200)
        if any(isinstance(alert, awaited) for alert in session.pop_alerts()):
            whole = handle.status().progress == 1.0
            print("WHOLE" if whole else "BROKEN", flush=True)
            if role == "check":
                return 0 if whole else 1


def create(path, piece_length, out):
    start()
    files = lt.file_storage()
    lt.add_files(files, path)
    torrent = lt.create_torrent(files, int(piece_length), lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    with open(out, "wb") as file:
        file.write(lt.bencode(torrent.generate()))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    job = {"create": create}.get(sys.argv[1])
    sys.exit(job(*sys.argv[2:]) if job else serve(*sys.argv[1:]))
