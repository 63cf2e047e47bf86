"""libtorrent_torrent.py show TORRENT: prints the info hash. libtorrent_torrent.py create PATH URL OUT: a v1 torrent."""
import os, sys
import libtorrent as lt

if sys.argv[1] == "show":
    print(lt.torrent_info(sys.argv[2]).info_hash())
else:
    path, url, out = sys.argv[2:]
    storage = lt.file_storage()
    lt.add_files(storage, path)
    torrent = lt.create_torrent(storage, flags=lt.create_torrent.v1_only)
    torrent.add_tracker(url)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    with open(out, "wb") as file:
        file.write(lt.bencode(torrent.generate()))
