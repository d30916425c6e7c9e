"""Talking to the Hugging Face Hub: files of one commit in, files of one commit out, one sentence when it goes wrong.

How long the Hub may take to answer a download is huggingface_hub's setting: HF_HUB_ETAG_TIMEOUT for the first answer,
HF_HUB_DOWNLOAD_TIMEOUT from then on. It has none for pushes.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open

from leed_hub.errors import CorpusError, HubError, ModelLoadError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
CONTROLS = "controls.json"  # presets and sliders of an editor, if it has any
SUMS = "SHA256SUMS"  # of the files that come with the package, in the form of sha256sum
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")  # what loads by running code
REPO_PLACEHOLDER = '"org/name"'  # in a card's snippets; a push puts the repository's own id there

_OTHER_TOKEN = f"use one with that right, see {constants.ENDPOINT}/settings/tokens"

RepoType = Literal["model", "dataset"]

CONVERT = (
    "leed_hub opens no pickles; convert it once where you trust it: "
    "safetensors.torch.save_model(model, 'model.safetensors') after loading it with torch.load(..., weights_only=True)"
)


def download_files(
    repo_id: str,
    filenames: list[str],
    *,
    repo_type: RepoType = "model",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> list[Path]:
    """Fetch a repository's files, all from one commit: the one that `revision` names when the first is asked for.

    When the Hub does not serve, files that are in the cache are used, with a warning.

    Raises:
        HubError: if the Hub refuses or cannot be reached.
        ModelLoadError: if a model's repository lacks one of the files, or one is not what the Hub has.
        CorpusError: if a dataset's repository lacks one.
    """
    paths: list[Path] = []
    with _one_sentence(repo_id, revision, repo_type):
        commit = revision
        hindrance = None if local_files_only else _hindrance(repo_id, revision, repo_type, token)
        if hindrance and force_download:
            raise hindrance
        for name in filenames:
            try:
                path = hf_hub_download(
                    repo_id,
                    name,
                    repo_type=repo_type,
                    revision=commit,
                    token=token,
                    cache_dir=None if cache_dir is None else str(cache_dir),
                    local_files_only=local_files_only or hindrance is not None,
                    force_download=force_download,
                )
            except LocalEntryNotFoundError as error:
                raise hindrance or error from error
            except RemoteEntryNotFoundError as error:
                hint = f" If it holds pytorch_model.bin: {CONVERT}." if name == WEIGHTS else ""
                wrong = CorpusError if repo_type == "dataset" else ModelLoadError
                raise wrong(f"The Hub {repo_type} {repo_id} has no {name}.{hint}") from error
            paths.append(_whole(Path(path)))
            commit = paths[0].parents[filenames[0].count("/")].name  # the cache has a folder for each commit
    if isinstance(hindrance, HTTPError | json.JSONDecodeError):
        said = _sentence(hindrance, repo_id, revision, repo_type, pushing=False)
        warnings.warn(f"The copy of {repo_id} in the cache is used. {said}", stacklevel=3)
    return paths


def _whole(path: Path) -> Path:
    """A file of the cache, compared with the sum that the Hub names it by there; a download checks its size alone."""
    blob = path.resolve()
    found = blob.name
    if len(blob.name) == 64:
        found = sha256(blob)
    elif len(blob.name) == 40:  # small files have git's own: a header before the content
        content = blob.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if found != blob.name:
        raise ModelLoadError(f"{path} is not the file that the Hub has: fetch it again (force_download=True).")
    return path


def _hindrance(
    repo_id: str, revision: str | None, repo_type: RepoType, token: str | bool | None
) -> HTTPError | OfflineModeIsEnabled | json.JSONDecodeError | None:
    """Why the Hub serves nothing at the moment, if so; what it says of the repository itself is raised.

    Asked first because this call can be given a time limit and is made once: a download tries again for minutes.
    """
    try:
        HfApi(token=token).repo_info(
            repo_id, revision=revision, repo_type=repo_type, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):  # disabled and gated ones are such too
        raise
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise
        return error
    except (HTTPError, OfflineModeIsEnabled, json.JSONDecodeError) as error:  # JSON: a login page answers
        return error
    return None


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
) -> str:
    """Send a saved model to the Hub in one commit: its config, weights and card, and nothing else of the folder.

    The repository, and the branch that `revision` names, are made if need be. Files the Hub has already are not sent.
    With `create_pr` the commit is proposed as a pull request.

    Returns:
        str: address of the commit, of the newest one where nothing has changed, or of the pull request.
    Raises:
        ModelLoadError: if the folder holds no whole model, or a pickle; nothing has been sent then.
        HubError: if the Hub refuses or cannot be reached.
    """
    folder = Path(folder)
    _check_folder(folder)
    contents = {name: folder / name for name in (WEIGHTS, CONFIG, CARD)}
    if (folder / CONTROLS).is_file():
        contents[CONTROLS] = folder / CONTROLS
    commit_message = commit_message or "Push model with leed_hub"
    return push_files(
        contents,
        repo_id,
        commit_message=commit_message,
        token=token,
        private=private,
        revision=revision,
        create_pr=create_pr,
    )


def push_files(
    contents: dict[str, Path],
    repo_id: str,
    *,
    commit_message: str,
    repo_type: RepoType = "model",
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    replaced_suffix: str | None = None,
    create_pr: bool = False,
) -> str:
    """Send files to the Hub in one commit, as `push_folder` does a model's.

    Args:
        contents: name in the repository -> file; the card's snippets get the repository's own id.
        replaced_suffix: files of this suffix that are there but not among `contents` are deleted.
    Raises:
        HubError: if the Hub refuses or cannot be reached.
    """
    repo_id = ensure_repository(repo_id, repo_type=repo_type, token=token, private=private)
    api = HfApi(token=writing_token(token))
    card = contents[CARD].read_text(encoding="utf-8")
    with _one_sentence(repo_id, revision, repo_type, pushing=True):
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)
        head = api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha
        card = card.replace(REPO_PLACEHOLDER, json.dumps(repo_id))
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=card.encode() if name == CARD else path)
            for name, path in contents.items()
        ]
        if replaced_suffix is not None:
            there = api.list_repo_files(repo_id, repo_type=repo_type, revision=head)
            stale = (name for name in there if name.endswith(replaced_suffix) and name not in contents)
            operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        commit = api.create_commit(
            repo_id,
            operations,
            repo_type=repo_type,
            commit_message=commit_message,
            revision=revision,
            parent_commit=head,
            create_pr=create_pr,
        )
    return commit.pr_url or commit.commit_url


def ensure_repository(
    repo_id: str, *, repo_type: RepoType = "model", token: str | None = None, private: bool = False
) -> str:
    """Make a repository if need be, and so find out whether the token may write to it; returns its whole id.

    Raises:
        HubError: if it may not, or the repository is public and should be private.
    """
    api = HfApi(token=writing_token(token))
    with _one_sentence(repo_id, None, repo_type, pushing=True):
        if api.whoami().get("auth", {}).get("accessToken", {}).get("role") == "read":  # create_repo passes it over
            raise HubError(_may_not_write(repo_id))
        repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private or None, exist_ok=True).repo_id
        if private and not api.repo_info(repo_id, repo_type=repo_type).private:
            raise HubError(f"{repo_id} exists and is public: make it private in its settings, or push to a new name.")
    return repo_id


def writing_token(token: str | None = None) -> str:
    """The token given, or the one that is saved or set; a `HubError` if there is none."""
    token = token or get_token()
    if not token:
        raise HubError("No Hub token was found: run `hf auth login`, or set HF_TOKEN, with a token that may write.")
    return token


def _check_folder(folder: Path) -> None:
    """Refuse what should not go on the Hub: half a model, a broken one, a pickle."""
    if not folder.is_dir():
        raise ModelLoadError(f"Folder not found: {folder}.")
    pickles = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if pickles:
        raise ModelLoadError(f"{folder} holds {pickles[0]}, which may run code when opened: move it elsewhere.")
    if missing := [name for name in (CONFIG, WEIGHTS, CARD) if not (folder / name).is_file()]:
        raise ModelLoadError(f"{folder} lacks {', '.join(missing)}: write it with `model.save_pretrained`.")
    read_json_object(folder / CONFIG)
    try:
        with safe_open(folder / WEIGHTS, framework="np"):
            pass
    except SafetensorError as error:
        raise ModelLoadError(broken_weights(folder / WEIGHTS, error)) from error


def check_sum(path: Path, folder: Path) -> None:
    """Compare a file below a folder with the `SHA256SUMS` there; a `ModelLoadError` if a bit of it has changed."""
    lines = (folder / SUMS).read_text().splitlines()
    sums = {name: sum_ for sum_, name in map(str.split, lines)}
    if sha256(path) != sums.get(path.relative_to(folder).as_posix()):
        raise ModelLoadError(f"{path} is not the file that {folder / SUMS} tells of: install leed_hub anew.")


def sha256(path: Path) -> str:
    """The sum of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json_object(path: Path) -> dict:
    """A file's JSON object, in which NaN and infinity are no numbers.

    Raises:
        ModelLoadError: if the file cannot be read or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} ({path.stat().st_size} bytes) is not JSON: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise ModelLoadError(f"{path} must hold a JSON object, got {type(values).__name__}.")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def broken_weights(path: Path, error: Exception) -> str:
    """What is wrong with a weight file that safetensors refuses, with its size and the likely cause."""
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        cause = "it is empty: the download or copy was cut short"
    elif start.startswith(b"version https://git-lfs"):
        cause = "it is a Git LFS pointer: run `git lfs pull`"
    elif start.lstrip()[:1] == b"<":
        cause = "it is a web page, not weights"
    elif start.startswith((b"PK\x03\x04", b"\x80")):
        cause = f"it is a pickle: {CONVERT}"
    else:
        cause = f"{first_line(error)}: fetch it again (force_download=True)"
    return f"{path} ({path.stat().st_size} bytes) is no safetensors file; {cause}."


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _one_sentence(repo_id: str, revision: str | None, repo_type: RepoType, *, pushing: bool = False) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into a `HubError` that says what to do."""
    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        raise HubError(_sentence(error, repo_id, revision, repo_type, pushing)) from error


def _sentence(error: Exception, repo_id: str, revision: str | None, repo_type: RepoType, pushing: bool) -> str:
    is_dataset = repo_type == "dataset"
    page = f"{constants.ENDPOINT}/{'datasets/' if is_dataset else ''}{repo_id}"
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HTTPError | FileMetadataError):
        error = error.__cause__
    match error:
        case OfflineModeIsEnabled() if pushing:
            return "HF_HUB_OFFLINE is set, so the Hub is not asked: unset it."
        case LocalEntryNotFoundError() | OfflineModeIsEnabled():
            at = f" at {revision}" if revision else ""
            kind = "--repo-type dataset " if is_dataset else ""
            return (
                f"{repo_id}{at} is not in the cache, and the Hub is not to be asked (HF_HUB_OFFLINE or "
                f"local_files_only): run `hf download {kind}{repo_id}` once where there is a network."
            )
        case HFValidationError():
            return f"{repo_id!r} is no Hub id; one is written org/name."
        case GatedRepoError():
            return f"{repo_id} is gated: accept its terms at {page}, then run `hf auth login`."
        case DisabledRepoError():
            return f"The Hub has disabled {repo_id}: see {page}."
        case RevisionNotFoundError():
            return f"{repo_id} has no revision {revision!r}: choose a branch, tag or commit of {page}/commits/main."
        case RepositoryNotFoundError() if not pushing:
            lack = "The Hub" if is_dataset else f"There is no folder {repo_id} here, and the Hub"
            name = repo_id if is_dataset else "of that name"
            return (
                f"{lack} shows you no {repo_type} {name}: check the spelling, or run `hf auth login` if it is private."
            )
        case HfHubHTTPError():
            return _status_sentence(error, repo_id, pushing)
        case FileMetadataError() | json.JSONDecodeError():
            return f"What answers at {constants.ENDPOINT} is not the Hub; is a proxy or a login page in between?"
        case HTTPError():
            return (
                f"The Hub at {constants.ENDPOINT} cannot be reached ({type(error).__name__}): check the network and "
                "try again."
            )
        case OSError(strerror=str(reason), filename=place):
            where = f" ({place})" if place else ""
            return f"The Hub's cache cannot be used, {reason}{where}: set HF_HOME to a folder with room to write."
    return f"The Hub could not serve {repo_id}: {first_line(error)}"


def _may_not_write(repo_id: str) -> str:
    return f"Your token may not write to {repo_id}: {_OTHER_TOKEN}."


def _status_sentence(error: HfHubHTTPError, repo_id: str, pushing: bool) -> str:
    status = error.response.status_code
    if status == 401:
        return "The Hub does not accept your token: run `hf auth login` with a new one."
    if status == 402:
        return (
            f"The Hub asks for a paid plan or more storage before it takes {repo_id}: see {constants.ENDPOINT}/pricing."
        )
    if status in (403, 404) and pushing:
        return _may_not_write(repo_id)
    if status == 403:
        return f"Your token may not read {repo_id}: {_OTHER_TOKEN}."
    if status == 413:
        return f"A file is larger than the Hub takes for {repo_id}: push smaller ones, or ask the Hub for more room."
    if status in (409, 412):
        return f"Somebody else changed {repo_id} at the same moment: try again."
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        when = f"in {wait} seconds" if wait.isdigit() else "in a few minutes"
        return f"The Hub has had too many requests from here (429): try again {when}; logging in raises the limit."
    if status >= 500:
        return f"The Hub has a fault of its own ({status}): try again later, see https://status.huggingface.co."
    return f"The Hub answered {status} for {repo_id}: {(error.server_message or 'no reason given').splitlines()[0]}"
