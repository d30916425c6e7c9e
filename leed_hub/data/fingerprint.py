"""A short name for the exact files a corpus was read from."""

import hashlib
import os

from leed_hub.data import CORPORA, known_corpus
from leed_hub.data.hub_datasets import HubDataset
from leed_hub.media.images import ENDINGS


def corpus_fingerprint(name: str, data_dir: str | os.PathLike | None, *, token: str | bool | None = None) -> str:
    """Tell two copies of a corpus apart: the same for the same files, be they in a folder or packed.

    Names and sizes of all files count, and the contents of all that are not pictures (tables, points). Pictures are not
    read, for speed: one that was replaced by another of the same size goes unnoticed.

    Name, folder and token are as for `load_corpus`, and so are the errors; a Hub dataset tells the fingerprint of the
    files it was made from.

    Returns:
        str: 16 hexadecimal digits.
    """
    if "/" in name:
        return HubDataset.find(name, token=token).about.fingerprint
    files = CORPORA[known_corpus(name)](data_dir=str(data_dir)).files
    digest = hashlib.sha256()
    for file in files.names:
        content = "" if file.lower().endswith(ENDINGS) else hashlib.sha256(files.read(file)).hexdigest()
        digest.update(f"{file}\t{files.size(file)}\t{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
