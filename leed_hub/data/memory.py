"""Decoded pictures in memory, or in a file mapped into it: decode once, then every batch is one indexed read."""

import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import datasets
import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from leed_hub.errors import ConfigError

CACHE_ENV = "LEED_HUB_CACHE"  # a folder; "~/.cache/leed_hub" by default
KEPT_S = 30 * 24 * 3600  # since the last use


def cache_folder(kind: str) -> Path:
    """The folder below the cache where `kind`, such as "tables", is kept from one start of a training to the next.

    What nothing has read for a month is deleted: files are named by what they depend on, and old ones would pile up.
    """
    folder = Path(os.environ.get(CACHE_ENV, "~/.cache/leed_hub")).expanduser() / kind
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # another process of the training deletes them too
            used = file.stat()
            if time.time() - max(used.st_atime, used.st_mtime) > KEPT_S:
                file.unlink()
    return folder


def undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """The rows' column `image` alone, as bytes or paths of files."""
    return rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))


def decode_images(rows: datasets.Dataset, size: int) -> Tensor:
    """Decode the column `image`, resized to squares of `size` pixels a side: uint8 (N, 3, size, size)."""
    pictures = torch.empty(len(rows), size, size, 3, dtype=torch.uint8)

    def decode(index: int, entry: dict) -> None:
        with Image.open(io.BytesIO(entry["bytes"]) if entry["bytes"] else entry["path"]) as stored:
            picture = stored.convert("RGB")
            if picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
            pictures[index] = torch.from_numpy(np.asarray(picture).copy())

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(rows)), undecoded(rows)["image"]):
            pass
    return pictures.permute(0, 3, 1, 2).contiguous()


def write_once(file: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file that is not there yet; it is given its name when it is whole.

    Of several processes one writes while the others wait.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if not file.exists():
            unfinished = file.with_suffix(".partial")
            write(unfinished)
            unfinished.rename(file)


def mapped_pictures(file: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> Tensor:
    """Pictures in a file that is written once and from then on mapped: they need not fit into memory.

    Args:
        file: named `.npy`; the name should change with whatever the pictures depend on.
        shape: (N, C, S, S).
        fill: writes all pictures into a uint8 array of that shape; called only where the file is not there yet.
    Returns:
        Tensor: uint8 (N, C, S, S); what is written to it does not reach the file.
    Raises:
        ConfigError: if the disk has no room for the file.
    """

    def write(unfinished: Path) -> None:
        n_bytes, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
        if n_bytes > free:  # a mapped file would find out by a bus error
            raise ConfigError(f"{file.parent} needs room for {n_bytes / 1e9:.1f} GB; it has {free / 1e9:.1f} GB.")
        pictures = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
        fill(pictures)
        pictures.flush()

    write_once(file, write)
    return torch.from_numpy(np.load(file, mmap_mode="c"))


class JoinedPictures:
    """Several tensors of pictures read as one without copying any: `joined[positions]` is a tensor (B, C, S, S).

    Args:
        parts: uint8 (N_i, C, S, S), alike in C and S.
        kept: (N,) positions in all of them; if given, the others are left out.
    """

    def __init__(self, parts: Sequence["Tensor | JoinedPictures"], kept: Tensor | None = None):
        self.parts = parts
        self.ends = torch.tensor([len(part) for part in parts]).cumsum(0)
        self.kept = kept
        self.shape: tuple[int, ...] = (int(self.ends[-1]) if kept is None else len(kept), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: Tensor) -> Tensor:
        if self.kept is not None:
            positions = self.kept[positions]
        which = torch.bucketize(positions, self.ends, right=True)
        pictures = torch.empty(len(positions), *self.shape[1:], dtype=torch.uint8)
        for number, part in enumerate(self.parts):
            here = which == number
            pictures[here] = part[positions[here] - self.ends[number] + len(part)]
        return pictures
