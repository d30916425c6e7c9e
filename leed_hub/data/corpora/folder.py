"""Any folder of faces: nothing is known of its pictures, neither who is on them nor what they show."""

from collections import Counter
from collections.abc import Iterator

from leed_hub.data.corpora.corpus import CorpusAbout, CorpusBuilder
from leed_hub.data.corpora.files import CorpusFiles
from leed_hub.media.images import ENDINGS


class Folder(CorpusBuilder):
    """One split, `train`: all pictures, however deep they lie."""

    about = CorpusAbout(
        title="a folder of faces",
        licence="that of its pictures",
        homepage="",
        citation="",
        layout=f"pictures ({', '.join(ENDINGS)}) in any folders or a zip",
        access="Any photographs with a face will do.",
        weights_terms="terms-of-the-pictures",
    )
    splits = {"default": ("train",)}

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        return any(_is_picture(name) for name in files.names)

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        for name in self.files.names:
            if _is_picture(name):
                yield {"image": name}


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)
