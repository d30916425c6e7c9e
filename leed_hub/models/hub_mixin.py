"""`HubModel`: what makes a network of ours a model of the Hugging Face Hub.

A thin layer over `PyTorchModelHubMixin`, strict where the mixin is lenient: a checkpoint either rebuilds exactly the
network it was saved from, or `from_pretrained` says in one sentence why it cannot.
"""

import copy
import dataclasses
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors.torch import save_model
from torch import nn

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CARD, CONFIG, WEIGHTS, download_files, first_line, push_folder
from leed_hub.models.card import CardFacts, make_card
from leed_hub.models.checkpoint import check_room, described, files_of_folder, load_weights, read_config

__all__ = ["CardFacts", "HubModel"]

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # what else the Hub asks of a name, it says itself


class HubModel(nn.Module, PyTorchModelHubMixin, library_name="leed-hub", license="apache-2.0"):
    """Base of our networks: saved as `config.json` and `model.safetensors`, loaded from a folder or from the Hub.

    A subclass takes one required argument `config`, see `checked_config`, and may name the template of its card.
    """

    card_template: str | None = None  # a file of model_cards/
    model_type: str | None = None  # its kind in config.json, see `KINDS`
    config: Any
    revision: str | None = None  # the Hub's commit that the weights come from
    facts: CardFacts | None = None  # of the card it was loaded with, for the next one

    @classmethod
    def from_pretrained(  # type: ignore[override]  # narrower than the mixin's: no arguments for the constructor
        cls,
        path_or_id: str | os.PathLike,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        device: str | torch.device | None = None,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
    ) -> Self:
        """Rebuild a saved network, in eval mode; config and weights come from one commit.

        Args:
            path_or_id: a folder, or "org/name" on the Hub.
            revision: branch, tag or commit on the Hub.
            token: a Hub token instead of the one `hf auth login` stored; False sends none.
            cache_dir: where downloads are kept, instead of the Hub's own cache.
            local_files_only: never ask the Hub, use what is in the cache.
            force_download: fetch again what is in the cache.
            device: where the network goes.
            map_location: the mixin's name of it.
            strict: the mixin's; nothing but True is possible here.
        Raises:
            ConfigError: if `strict` is False or there is no such device.
            ModelLoadError: if config or weights are missing, broken, or do not belong together.
            HubError: if the Hub refuses or cannot be reached.
        """
        if not strict:
            raise ConfigError("strict=False would leave random weights where a file has none; leave it out.")
        if not isinstance(path_or_id, str | os.PathLike):
            raise ModelLoadError(f"A model is a folder or org/name on the Hub; got {path_or_id!r:.60}.")
        device = map_location if device is None else device
        folder, commit = Path(path_or_id).expanduser(), None
        if folder.is_dir():
            config_path, weights_path = files_of_folder(folder)
        else:
            config_path, weights_path = download_files(
                _hub_id(path_or_id),
                [CONFIG, WEIGHTS],
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                force_download=force_download,
            )
            commit = config_path.parent.name  # the Hub's cache keeps each commit in a folder of its name
        config = read_config(config_path, cls._hub_mixin_init_parameters["config"].annotation, cls.model_type)
        try:
            check_room(lambda: cls(config), config_path, weights_path)
            model = cls(config)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelLoadError(
                f"{config_path} describes no network that can be built: {first_line(error)}"
            ) from error
        load_weights(model, weights_path)
        model.revision = commit
        with suppress(ModelLoadError):  # a card of somebody else's, or none
            model.facts = CardFacts.read(weights_path.parent)
        try:
            return model.eval().to(device)
        except (AssertionError, RuntimeError) as error:
            raise ConfigError(f"device {device!r} cannot be used: {first_line(error)}") from error

    def save_pretrained(  # type: ignore[override]
        self,
        folder: str | os.PathLike,
        *,
        card: CardFacts | None = None,
        half: bool = False,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        token: str | None = None,
        private: bool = False,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
    ) -> str | None:
        """Write weights, card and config, each file whole or not at all.

        Args:
            folder: made if need be.
            card: what the card says; without it a card that is already there stays as it is, and else the one that the
                network was loaded with says it again.
            half: store float16, half the size; the network that loads it computes in float32 as before.
            push_to_hub: also send what was written to the Hub.
            repo_id: where to; the folder's name by default.
            token, private, revision, commit_message, create_pr: of `leed_hub.hub.push_folder`.
        Returns:
            The commit's address, if it was sent.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder rather than beside it: the same disk for sure, and always writable.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
            unfinished = Path(name)
            names = [WEIGHTS, CONFIG]  # the config last, for it is what says "here is a model"
            (unfinished / CONFIG).write_text(json.dumps(described(self.config, self.model_type), indent=2) + "\n")
            save_model(copy.deepcopy(self).half() if half else self, str(unfinished / WEIGHTS))
            os.chmod(unfinished / WEIGHTS, (unfinished / CONFIG).stat().st_mode)  # safetensors says 0600, umask or not
            if card is not None or not (folder / CARD).is_file():
                (unfinished / CARD).write_text(str(self.generate_model_card(card)), encoding="utf-8")
                names.insert(1, CARD)
            for file_name in names:
                os.replace(unfinished / file_name, folder / file_name)
        if not push_to_hub:
            return None
        return push_folder(
            folder,
            repo_id or folder.resolve().name,
            token=token,
            private=private,
            revision=revision,
            commit_message=commit_message,
            create_pr=create_pr,
        )

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        card: CardFacts | None = None,
        token: str | None = None,
        private: bool | None = False,
        branch: str | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool | None = False,
    ) -> str:
        """Save into a temporary folder and send it, see `leed_hub.hub.push_folder`; returns the commit's address."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, card=card)
            return push_folder(
                folder,
                repo_id,
                token=token,
                private=bool(private),
                revision=branch or revision,
                commit_message=commit_message,
                create_pr=bool(create_pr),
            )

    def generate_model_card(self, card: CardFacts | None = None) -> ModelCard:
        """The card as `save_pretrained` writes it."""
        card = card or self.facts or CardFacts()
        return make_card(
            self._hub_mixin_info.model_card_data,
            dataclasses.replace(card, title=card.title or type(self).__name__),
            template=self.card_template,
            config=dataclasses.asdict(self.config),
            parameters=sum(parameter.numel() for parameter in self.parameters()),
        )


def _hub_id(path_or_id: str | os.PathLike) -> str:
    """What is no folder must be "org/name"; everything else was meant as a path."""
    name = os.fspath(path_or_id)
    if os.path.exists(name):
        raise ModelLoadError(f"{name} is a file; give the folder it lies in.")
    if not isinstance(path_or_id, str) or not _HUB_ID.fullmatch(name):
        raise ModelLoadError(f"Folder not found: {name} (a model on the Hub is written org/name).")
    return name
