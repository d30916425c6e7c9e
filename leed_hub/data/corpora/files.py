"""The files of a corpus, alike whether they lie in a folder or in a zip archive.

Builders read through this module because `datasets` replaces `open`, `os.path` and `pathlib` inside a module that
holds a builder; here they stay what they are.
"""

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from leed_hub.errors import BadImageError, CorpusError
from leed_hub.media.images import load_image

_JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
PACKED = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".001", ".z01")


def printed(name: str) -> str:
    """A file's name as text: bytes that are none, as old archives leave them, become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


class CorpusFiles:
    """Relative names ("/" between folders, sorted) and the bytes behind them.

    A zip archive is read in place. The object can be pickled and forked: each process opens the archive for itself.

    Args:
        location: a folder, a zip archive, or one plain file (then its folder holds just that file).
        below: a folder inside the location; names are relative to it.
    """

    def __init__(self, location: str, below: str = ""):
        self.location, self.below = os.path.abspath(os.path.expanduser(location)), below
        self.is_zip = os.path.isfile(self.location) and zipfile.is_zipfile(self.location)
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        self._sizes = dict(sorted(self._scan()))
        if self.is_zip and any(entry.flag_bits & 1 for entry in self._zip().infolist()):
            raise CorpusError(f"{self.location} needs a password: unpack it and give the folder.")

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_archive": None}

    @property
    def names(self) -> list[str]:
        """All files, sorted by name."""
        return list(self._sizes)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def under(self, folder: str) -> list[str]:
        """The files below a folder, sorted by name; `folder` ends with "/"."""
        return [name for name in self._sizes if name.startswith(folder)]

    def top(self) -> list[str]:
        """What a listing of the location would show; folders end with "/"."""
        return sorted({name[: name.find("/") + 1] or name for name in self._sizes})

    def inner(self) -> "CorpusFiles | None":
        """The files below the only folder of the location, as many archives have one; None if it is not alone."""
        folders = [entry for entry in self.top() if entry.endswith("/")]
        return CorpusFiles(self.location, self.below + folders[0]) if len(folders) == 1 else None

    def stamps(self) -> Iterator[str]:
        """One line a file with name, size and time of change; an archive is one file."""
        if os.path.isfile(self.location):
            yield _stamp(self.location, os.path.basename(self.location))
        else:
            for name in self._sizes:
                yield _stamp(self._path(name), name)

    def size(self, name: str) -> int:
        """How many bytes a file has, unpacked."""
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        if self.is_zip:
            return self._zip().read(self.below + name)
        with open(self._path(name), "rb") as file:
            return file.read()

    def picture(self, name: str) -> dict | None:
        """A picture as `datasets.Image` takes it: bytes from an archive, else the path; None if it cannot be read.

        It is decoded once here, by the rules that hold for any picture, so that whoever reads the corpus later meets
        none that is empty, cut off, too large or too small.
        """
        try:
            content = self.read(name)
            load_image(content)
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error, BadImageError):
            return None
        if self.is_zip:
            return {"bytes": content, "path": name}
        path = self._path(name)
        return {"bytes": None, "path": path} if printed(path) == path else {"bytes": content, "path": None}

    def lines(self, name: str) -> Iterator[list[str]]:
        """The rows of a csv file, header included: comma or semicolon, with or without byte order mark, LF or CRLF."""
        opened = self._zip().open(self.below + name) if self.is_zip else open(self._path(name), "rb")  # noqa: SIM115
        with io.TextIOWrapper(opened, encoding="utf-8-sig", errors="replace", newline="") as text:
            first = text.readline()
            delimiter = "," if "," in first or ";" not in first else ";"
            yield from csv.reader([first], delimiter=delimiter)
            yield from csv.reader(text, delimiter=delimiter)

    def number(self, name: str) -> float:
        """The one number a .npy file holds, be it stored as a number or as text."""
        return float(self.array(name).item())

    def array(self, name: str) -> np.ndarray:
        """The array of a .npy file."""
        return np.load(io.BytesIO(self.read(name)), allow_pickle=False)

    def table(self, name: str) -> list[dict]:
        """The rows of a parquet file."""
        import pyarrow.parquet

        return pyarrow.parquet.read_table(io.BytesIO(self.read(name))).to_pylist()

    def _path(self, name: str) -> str:
        folder = os.path.dirname(self.location) if os.path.isfile(self.location) else self.location
        return os.path.join(folder, *(self.below + name).split("/"))

    def _zip(self) -> zipfile.ZipFile:
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = (os.getpid(), zipfile.ZipFile(self.location))
        return self._archive[1]

    def _scan(self) -> Iterator[tuple[str, int]]:
        """(name, size) of every file worth listing."""
        found: Iterator[tuple[str, int]]
        if self.is_zip:
            found = ((info.filename, info.file_size) for info in self._zip().infolist() if not info.is_dir())
        elif os.path.isfile(self.location):
            found = iter([(os.path.basename(self.location), os.path.getsize(self.location))])
        else:
            found = _walk(self.location)
        for name, size in found:
            parts = name.split("/")
            if name.startswith(self.below) and not parts[-1].startswith("._") and not set(_JUNK) & set(parts):
                yield name[len(self.below) :], size


def _stamp(path: str, name: str) -> str:
    status = os.stat(path)
    return f"{name}\t{status.st_size}\t{status.st_mtime_ns}"


def _walk(folder: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """(relative name, size) of all files below a folder; follows links, since corpora are often linked into place."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield prefix + entry.name, entry.stat().st_size
