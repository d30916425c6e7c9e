"""Talking to the Hugging Face Hub: files of one commit in, files of one commit out, one sentence when it goes wrong."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    resolve_revision,
)
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
    RevisionResolutionError,
)
from huggingface_hub.utils import get_session
from safetensors import SafetensorError, safe_open

from leed_hub.errors import CorpusError, HubError, ModelLoadError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")  # what loads by running code
REPO_PLACEHOLDER = '"org/name"'  # in a card's snippets; a push puts the repository's own id there
CONNECT_S = 10.0
PUSH_ANSWER_S = 60.0  # a commit of large files takes the Hub a while

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
    """Fetch a repository's files, all from the one commit that `revision` names when the call begins.

    A Hub that is down is made up for by the cache, where that holds the files.

    Raises:
        HubError: if the Hub refuses or cannot be reached.
        ModelLoadError: if a model's repository lacks one of the files.
        CorpusError: if a dataset's does.
    """
    with _one_sentence(repo_id, revision, repo_type), _patience(constants.HF_HUB_ETAG_TIMEOUT):
        options = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        options["repo_type"] = repo_type
        try:
            commit = resolve_revision(repo_id, revision=revision, **options)
        except HfHubHTTPError as error:
            # resolve_revision makes up for a Hub that is down, but not for one that has heard too much from us.
            cached = (
                _cached_commit(repo_id, revision, cache_dir, repo_type) if error.response.status_code == 429 else None
            )
            if cached is None or force_download:
                raise
            commit = cached
        paths = []
        for name in filenames:
            try:
                path = hf_hub_download(repo_id, name, revision=commit, force_download=force_download, **options)
            except RemoteEntryNotFoundError as error:
                hint = f" If it holds pytorch_model.bin: {CONVERT}." if name == WEIGHTS else ""
                wrong = CorpusError if repo_type == "dataset" else ModelLoadError
                raise wrong(f"The Hub {repo_type} {repo_id} has no {name}.{hint}") from error
            paths.append(Path(path))
        return paths


def _cached_commit(
    repo_id: str, revision: str | None, cache_dir: str | os.PathLike | None, repo_type: RepoType
) -> str | None:
    options = {"cache_dir": cache_dir, "repo_type": repo_type, "local_files_only": True}
    try:
        return resolve_revision(repo_id, revision=revision, **options)
    except RevisionResolutionError:
        return None


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Send a saved model to the Hub in one commit: its config, weights and card, and nothing else of the folder.

    The repository, and the branch that `revision` names, are made if need be. Files the Hub has already are not sent.

    Returns:
        str: address of the commit; of the newest one where nothing has changed.
    Raises:
        ModelLoadError: if the folder holds no whole model, or a pickle; nothing has been sent then.
        HubError: if the Hub refuses or cannot be reached.
    """
    folder = Path(folder)
    _check_folder(folder)
    contents = {name: folder / name for name in (WEIGHTS, CONFIG, CARD)}
    options = {"token": token, "private": private, "revision": revision}
    return push_files(contents, repo_id, commit_message=commit_message or "Push model with leed_hub", **options)


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
) -> str:
    """Send files to the Hub in one commit; the repository, and the branch that `revision` names, are made if need be.

    Args:
        contents: name in the repository -> file; the card's snippets get the repository's own id.
        repo_id: org/name.
        commit_message: of the one commit.
        repo_type: what the repository is.
        token, private, revision: as for `push_folder`.
        replaced_suffix: files of this suffix that are there but not among `contents` are deleted.
    Returns:
        str: address of the commit; of the newest one where nothing has changed.
    Raises:
        HubError: if the Hub refuses or cannot be reached.
    """
    api = HfApi(token=writing_token(token))
    card = contents[CARD].read_text(encoding="utf-8")
    with _one_sentence(repo_id, revision, repo_type, pushing=True), _patience(PUSH_ANSWER_S):
        repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private or None, exist_ok=True).repo_id
        if private and not api.repo_info(repo_id, repo_type=repo_type).private:
            raise HubError(f"{repo_id} exists and is public: make it private in its settings, or push to a new name.")
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)
        card = card.replace(REPO_PLACEHOLDER, json.dumps(repo_id))
        operations: list = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=card.encode() if name == CARD else path)
            for name, path in contents.items()
        ]
        if replaced_suffix is not None:
            there = api.list_repo_files(repo_id, repo_type=repo_type, revision=revision)
            stale = (name for name in there if name.endswith(replaced_suffix) and name not in contents)
            operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        commit = api.create_commit(
            repo_id, operations, repo_type=repo_type, commit_message=commit_message, revision=revision
        )
    return commit.commit_url


def writing_token(token: str | None = None) -> str:
    """The token given, or the one that is saved or set.

    Raises:
        HubError: if there is none.
    """
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
    missing = [name for name in (CONFIG, WEIGHTS, CARD) if not (folder / name).is_file()]
    if missing:
        raise ModelLoadError(f"{folder} lacks {', '.join(missing)}: write it with `model.save_pretrained`.")
    try:
        is_object = isinstance(json.loads((folder / CONFIG).read_text(encoding="utf-8")), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ModelLoadError(f"{folder / CONFIG} is no JSON object.")
    try:
        with safe_open(folder / WEIGHTS, framework="np") as weights:
            is_empty = not weights.keys()
    except SafetensorError as error:
        raise ModelLoadError(broken_weights(folder / WEIGHTS, error)) from error
    if is_empty:
        raise ModelLoadError(f"{folder / WEIGHTS} holds no tensors.")


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
        cause = f"{str(error).splitlines()[0]}: fetch it again (force_download=True)"
    return f"{path} ({path.stat().st_size} bytes) is no safetensors file; {cause}."


@contextmanager
def _patience(answer_s: float) -> Iterator[None]:
    """Put a time limit on each request that has none, for huggingface_hub waits for ever by default.

    A hook, for a limit set on the client is undone by calls that say `timeout=None` themselves, such as `model_info`.
    """
    limits = {"connect": CONNECT_S, "read": answer_s, "write": answer_s, "pool": CONNECT_S}

    def limit(request) -> None:
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {name: given.get(name) or seconds for name, seconds in limits.items()}

    hooks = get_session().event_hooks["request"]
    hooks.append(limit)
    try:
        yield
    finally:
        hooks.remove(limit)


@contextmanager
def _one_sentence(repo_id: str, revision: str | None, repo_type: RepoType, *, pushing: bool = False) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into a `HubError` that says what to do."""
    try:
        yield
    except (HTTPError, OSError, RevisionResolutionError, HFValidationError, ValueError) as error:
        raise HubError(_sentence(error, repo_id, revision, repo_type, pushing)) from error


def _sentence(error: Exception, repo_id: str, revision: str | None, repo_type: RepoType, pushing: bool) -> str:
    is_dataset = repo_type == "dataset"
    page = f"{constants.ENDPOINT}/{'datasets/' if is_dataset else ''}{repo_id}"
    if isinstance(error, RevisionResolutionError | LocalEntryNotFoundError):
        if not isinstance(error.__cause__, HTTPError | FileMetadataError):
            at = f" at {revision}" if revision else ""
            kind = "--repo-type dataset " if is_dataset else ""
            return (
                f"{repo_id}{at} is not in the cache, and the Hub is not to be asked (HF_HUB_OFFLINE or "
                f"local_files_only): run `hf download {kind}{repo_id}` once where there is a network."
            )
        error = error.__cause__
    match error:
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
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set, so the Hub is not asked: unset it."
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
    return f"The Hub could not serve {repo_id}: {str(error).strip().splitlines()[0] if str(error) else error!r}"


def _status_sentence(error: HfHubHTTPError, repo_id: str, pushing: bool) -> str:
    status = error.response.status_code
    if status == 401:
        return "The Hub does not accept your token: run `hf auth login` with a new one."
    if status in (402, 403, 404) and pushing:
        return (
            f"Your token may not write to {repo_id}: use one with that right, see {constants.ENDPOINT}/settings/tokens."
        )
    if status == 403:
        return f"Your token may not read {repo_id}: use one with that right, see {constants.ENDPOINT}/settings/tokens."
    if status in (409, 412):
        return f"Somebody else changed {repo_id} at the same moment: try again."
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        when = f"in {wait} seconds" if wait.isdigit() else "in a few minutes"
        return f"The Hub has had too many requests from here (429): try again {when}; logging in raises the limit."
    if status >= 500:
        return f"The Hub has a fault of its own ({status}): try again later, see https://status.huggingface.co."
    told = (error.server_message or "no reason given").strip().splitlines()[0]
    return f"The Hub answered {status} for {repo_id}: {told}"
