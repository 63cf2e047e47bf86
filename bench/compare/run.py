"""Where a comparison works: one folder with contents and torrents that are made once."""

import hashlib
import os
import random
import shutil
from pathlib import Path

import net
from clients import Ours
from net import PREFIX, SWITCH_ADDRESS, is_left_over

MIB, GIB = 1 << 20, 1 << 30
TRACKER = f"{SWITCH_ADDRESS}:6969"
# A run may take this long: a start, and a rate below any that is worth a comparison.
LIMIT_S, LIMIT_BYTES_PER_S = 60, 8 * MIB


def sweep(folder):
    """Removes what runs that were killed have left there and in the network; gives the names."""
    left = [path for path in Path(folder).glob(f"{PREFIX}*") if is_left_over(path.name)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [str(path) for path in left] + net.sweep()


class Run:
    """The folder of one comparison; whoever made it removes it."""

    def __init__(self, folder, limit):
        self.folder = Path(folder)
        self.limit = limit
        self._hashes = {}

    def content(self, size, files=1):
        """Random bytes that do not compress, the same in each run, in the page cache.

        One file, or a folder with that many files of equal length.
        """
        path = self.folder / "content" / (f"{size}.bin" if files == 1 else f"{size}-{files}")
        if path not in self._hashes:
            path.parent.mkdir(exist_ok=True)
            source, hasher = random.Random(size), hashlib.sha256()
            for number in range(files):
                one = path if files == 1 else path / f"{number // 1000:03}" / f"{number:06}"
                one.parent.mkdir(parents=True, exist_ok=True)
                self._fill(one, size // files, source, hasher)
            self._hashes[path] = hasher.digest()
        return path

    @staticmethod
    def _fill(path, size, source, hasher):
        with open(path, "wb") as file:
            for at in range(0, size, MIB):
                part = source.randbytes(min(MIB, size - at))
                file.write(part)
                hasher.update(part)

    def place(self, size, files, folder):
        """Puts the content into a folder, by links."""
        content = self.content(size, files)
        if files == 1:
            os.link(content, folder / content.name)
        else:
            shutil.copytree(content, folder / content.name, copy_function=os.link)

    def torrent(self, switch, size, piece_length, files=1):
        """A .torrent of the content, made beside the switch, for the tracker that stands there."""
        path = self.folder / "content" / f"{size}-{files}-{piece_length}.torrent"
        if not path.exists():
            options = ["--piece-length", str(piece_length), "--no-date", "-o", path]
            url = f"http://{TRACKER}/announce"
            content = self.content(size, files)
            maker = switch.start(None, [Ours.binary(), "create", content, url, *options],
                                 self.fresh("maker"))
            if maker.wait(600) != 0:
                raise RuntimeError(f"`shoal create` failed: {maker.last_words()}")
        return path

    def fresh(self, name):
        """An empty folder of that name."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def copy_is_good(self, folder, size, files=1):
        """Whether the folder holds the content, byte for byte."""
        content, hasher = self.content(size, files), hashlib.sha256()
        copy = folder / content.name
        paths = sorted(copy.glob("*/*")) if files > 1 else [copy]
        try:
            for path in paths:
                with open(path, "rb") as file:
                    while part := file.read(MIB):
                        hasher.update(part)
            return hasher.digest() == self._hashes[content]
        except FileNotFoundError:
            return False

    def patience(self, size):
        """Seconds that a run over `size` bytes may take."""
        return self.limit or LIMIT_S + size / LIMIT_BYTES_PER_S
