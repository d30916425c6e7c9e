"""What is known of a run: how far it has come, what it was made of, and what its card says."""

import json
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from leed_hub.data import CORPORA, corpus_kind
from leed_hub.data.fingerprint import corpus_fingerprint
from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CARD, download_files
from leed_hub.media.files import write_text
from leed_hub.models.card import CardFacts
from leed_hub.training.config import CorpusEntry, TrainConfig

RUN = "run.json"


class Progress:
    """What a checkpoint remembers besides weights and optimizers; accelerate saves and loads it."""

    def __init__(self):
        self.best_score, self.seconds = float("-inf"), 0.0

    def state_dict(self) -> dict:
        return vars(self).copy()

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


class StopSignal:
    """While it is entered, SIGTERM and SIGINT ask for a checkpoint and a clean end."""

    def __enter__(self) -> Self:
        self.asked = False
        self._former = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _ask(self, *_) -> None:
        self.asked = True

    def __exit__(self, *_) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)


def run_record(config: TrainConfig, command: str, corpora: dict[str, str], processes: int) -> dict[str, Any]:
    """All that a run depends on: command, processes, commit, corpora's `fingerprints`, library versions and config."""
    return {
        "command": command,
        "processes": processes,
        "commit": commit(),
        "corpora": corpora,
        "versions": {name: version(name) for name in ("torch", "timm", "accelerate", "datasets")},
        "config": config.resolved(),
    }


def write_record(folder: Path, run: dict[str, Any]) -> None:
    """Write it into a run's folder."""
    write_text(folder / RUN, json.dumps(run, indent=2) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run's folder; empty if there is none, a `ConfigError` if it is broken."""
    try:
        return json.loads((folder / RUN).read_text()) if (folder / RUN).is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{folder / RUN} is broken: delete it, and --resume goes on without it.") from error


def fingerprints(config: TrainConfig) -> dict[str, str]:
    """What tells each corpus' exact files, by its name."""
    return {entry.corpus: corpus_fingerprint(entry.corpus, entry.folder) for entry in config.settings().data.corpora}


def commit() -> str:
    """The commit of this checkout, with a "+" where files differ from it; "" outside of git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def training_data(config: TrainConfig) -> dict[str, Any]:
    """What a card must say of where the weights come from, whatever the config's own `card` says or leaves out.

    Returns:
        dict: `datasets`, `license_name` and `license_link` of `CardFacts`: the config's, and those of each corpus and
            of the weights that the training starts from or is taught by.
    """
    own = CardFacts(**config.card)
    inits = [config.init] if isinstance(config.init, str) else config.init or []
    saved = [_saved_facts(name, "start of the training") for name in inits]
    saved += [_saved_facts(name, "teacher") for name in config.teachers]
    sources = [own, *map(_corpus_facts, config.settings().data.corpora), *saved]
    datasets: list[dict] = []
    for entry in (entry for source in sources for entry in source.datasets):
        if not any(known["name"].startswith(entry["name"]) for known in datasets):
            datasets.append(entry)
    terms = {source.license_name: source.license_link for source in reversed(sources) if source.license_name}
    names = list(reversed(terms))
    return {
        "datasets": datasets,
        "license_name": ", ".join(names),
        "license_link": terms[names[0]] if names else "",
    }


def _corpus_facts(entry: CorpusEntry) -> CardFacts:
    about = CORPORA[corpus_kind(entry.corpus)].about
    place = {"id": entry.corpus.partition("@")[0]} if "/" in entry.corpus else {}
    described = {"name": about.title, "license": about.licence} | ({"url": about.homepage} if about.homepage else {})
    return CardFacts(datasets=[described | place], license_name=about.weights_terms, license_link=about.homepage)


def _saved_facts(name: str, role: str) -> CardFacts:
    """Those of a saved model; where it has no card of ours, or one that names no data, its origin is not recorded."""
    folder = Path(name).expanduser()
    try:
        facts = CardFacts.read(folder if folder.is_dir() else download_files(name, [CARD])[0].parent)
    except ModelLoadError:
        facts = CardFacts()
    if facts.datasets:
        return facts
    origin = {"name": f"the weights of {folder.name}", "license": "not recorded", "role": role}
    return CardFacts(
        datasets=[origin], license_name=facts.license_name or "not-recorded", license_link=facts.license_link
    )


def card_facts(
    config: TrainConfig, run: dict, origin: dict, progress: Progress, step: int, minutes_before: float
) -> CardFacts:
    """What the card says of this run; the measured numbers on test splits are added after `leed-hub evaluate`."""
    minutes = minutes_before + progress.seconds / 60
    stage = f" of {Path(config.output_dir).name}" if minutes_before else ""
    corpora = ", ".join(f"{name} `{fingerprint}`" for name, fingerprint in run["corpora"].items())
    batches = f"batches of {config.batch_size}" + f" in each of {run['processes']} processes" * (run["processes"] > 1)
    return CardFacts(
        **config.card | origin,
        training_command=run["command"],
        training_notes=(
            f"Step {step} of {config.steps}{stage}, {batches}, {minutes / 60:.1f} hours in all, "
            f"at commit `{run['commit'] or 'unknown'}`. Fingerprints of the corpora: {corpora}."
        ),
        metrics=[],
    )
