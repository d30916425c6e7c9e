"""Decoded pictures kept in memory: decode once, then every batch is one indexed read."""

import io
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor


def decode_images(dataset: datasets.Dataset, size: int, channels: int = 3, column: str = "image") -> Tensor:
    """Decode a column of pictures, resized to a square where they are not.

    Args:
        dataset: with an `Image` column.
        size: side in pixels.
        channels: 3 for RGB, 1 for grey.
    Returns:
        Tensor: uint8 (N, channels, size, size).
    """
    mode = "RGB" if channels == 3 else "L"
    rows = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    pictures = torch.empty(len(rows), size, size, channels, dtype=torch.uint8)

    def decode(index: int, entry: dict) -> None:
        with Image.open(io.BytesIO(entry["bytes"]) if entry["bytes"] else entry["path"]) as picture:
            picture = picture.convert(mode)
            if picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
            pictures[index] = torch.from_numpy(np.asarray(picture).copy()).reshape(size, size, channels)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(rows)), (row[column] for row in rows)):
            pass
    return pictures.permute(0, 3, 1, 2).contiguous()
