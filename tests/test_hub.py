"""leed_hub.hub against a Hub on the loopback interface: each client is a fresh process with its own cache."""

import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hub_server import READ_TOKEN, TOKEN, Fault, LoopbackHub
from safetensors.numpy import save

WEIGHTS = save({"layer.weight": np.arange(6000, dtype=np.float32)})
FILES = {
    "config.json": b'{"width": 4}',
    "model.safetensors": WEIGHTS,
    "README.md": b'---\nlicense: apache-2.0\n---\nTry `from_pretrained("org/name")`.\n',
}
DOWNLOAD = """
import hashlib, json, sys, time, warnings
warnings.showwarning = lambda message, *_, **__: print("Note:", message, file=sys.stderr)
from leed_hub.hub import download_files
from leed_hub.errors import LeedHubError
outcomes, started = [], time.monotonic()
for name, options in json.loads({cases!r}):
    try:
        paths = download_files(name, ["config.json", "model.safetensors"], **options)
        outcomes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    except LeedHubError as error:
        outcomes.append(f"{{type(error).__name__}}: {{error}}")
print(json.dumps([outcomes, time.monotonic() - started]))
"""
PUSH = """
import json
from leed_hub.hub import push_folder
from leed_hub.errors import LeedHubError
try:
    print(push_folder({folder!r}, {repo_id!r}, **json.loads({options!r})))
except LeedHubError as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    """A saved model, small and whole."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def download(hub, home, *cases, token=TOKEN, **environment):
    """What `download_files` gives for each (name, options), one process for all: `digests`, or the error's text."""
    return timed_download(hub, home, *cases, token=token, **environment)[0]


def timed_download(hub, home, *cases, token=TOKEN, **environment):
    """The same, and the seconds it took without the process's start."""
    cases = json.dumps([case if isinstance(case, tuple) else (case, {}) for case in cases])
    client = hub.run_client(DOWNLOAD.format(cases=cases), home, token, **environment)
    assert client.returncode == 0, client.stderr
    return json.loads(client.stdout)


def digests(files):
    return [hashlib.sha256(files[name]).hexdigest() for name in ("config.json", "model.safetensors")]


def push(hub, home, folder, repo_id, token=TOKEN, **options):
    """The process that pushed, with all it said."""
    code = PUSH.format(folder=str(folder), repo_id=repo_id, options=json.dumps(options))
    client = hub.run_client(code, home, token)
    assert client.returncode == 0, client.stderr
    return client


def test_push_makes_the_repository_and_sends_only_the_three_files(hub, folder, tmp_path):
    (folder / "notes.txt").write_text("private")
    said = push(hub, tmp_path, folder, "org/model").stdout
    repository = hub.repositories["org/model"]
    assert said.strip() == f"{hub.url}/org/model/commit/{repository.branches['main']}"
    sent = {name: file.content for name, file in repository.head.items()}
    assert sent == {**FILES, "README.md": FILES["README.md"].replace(b"org/name", b"org/model")}


def test_second_push_of_the_same_model_sends_nothing(hub, folder, tmp_path):
    first = push(hub, tmp_path, folder, "org/model").stdout
    uploads = len(hub.requests("PUT"))
    assert push(hub, tmp_path, folder, "org/model").stdout == first
    assert len(hub.requests("PUT")) == uploads == 1
    assert len(hub.requests("POST", "/commit/")) == 1


def test_push_to_a_branch_leaves_main_as_it_was(hub, folder, tmp_path):
    hub.add("org/model", {"config.json": b"{}"})
    push(hub, tmp_path, folder, "org/model", revision="trial")
    repository = hub.repositories["org/model"]
    assert set(repository.head) == {"config.json"}
    assert set(repository.commits[repository.branches["trial"]]) == set(FILES)


def test_push_as_a_pull_request_leaves_main_as_it_was(hub, folder, tmp_path):
    hub.add("org/model", {"config.json": b"{}"})
    said = push(hub, tmp_path, folder, "org/model", create_pr=True).stdout
    assert said.strip() == f"{hub.url}/org/model/discussions/1"
    repository = hub.repositories["org/model"]
    assert set(repository.head) == {"config.json"}
    assert set(repository.commits[repository.branches["refs/pr/1"]]) == set(FILES)


def test_interrupted_push_shows_nothing_and_a_rerun_finishes_it(hub, folder, tmp_path):
    hub.faults["/commit/"] = Fault(status=500, times=6)
    assert "HubError: The Hub has a fault of its own (500)" in push(hub, tmp_path, folder, "org/model").stdout
    assert hub.repositories["org/model"].head == {}
    hub.faults.clear()
    push(hub, tmp_path, folder, "org/model")
    assert set(hub.repositories["org/model"].head) == set(FILES)
    assert len(hub.requests("PUT")) == 1  # the weights were there already


def test_private_push_never_lands_in_a_public_repository(hub, folder, tmp_path):
    hub.add("org/open", {})
    assert "HubError: org/open exists and is public" in push(hub, tmp_path, folder, "org/open", private=True).stdout
    assert hub.repositories["org/open"].head == {}
    push(hub, tmp_path, folder, "org/closed", private=True)
    assert hub.repositories["org/closed"].is_private


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "HubError: No Hub token was found: run `hf auth login`"),
        ("hf_expiredTokenOfSomebody", "HubError: The Hub does not accept your token: run `hf auth login`"),
        (READ_TOKEN, "HubError: Your token may not write to org/model"),
    ],
)
def test_push_without_the_right_to_it_says_what_to_do_and_never_shows_the_token(hub, folder, tmp_path, token, sentence):
    client = push(hub, tmp_path, folder, "org/model", token)
    assert client.stdout.startswith(sentence)
    assert len(client.stdout.splitlines()) == 1
    assert "hf_" not in client.stdout + client.stderr
    assert hub.repositories == {}


def _empty(folder):
    (folder / "model.safetensors").write_bytes(b"")


def _truncate(folder):
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])


def _add_pickle(folder):
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "Optimizer.PKL").write_bytes(b"\x80\x04.")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "README.md").unlink(), "lacks README.md"),
        (lambda folder: (folder / "model.safetensors").unlink(), "lacks model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json must hold a JSON object, got list"),
        (_empty, "(0 bytes) is no safetensors file; it is empty"),
        (_truncate, f"({len(WEIGHTS) - 1} bytes) is no safetensors file"),
        (_add_pickle, "holds checkpoint/Optimizer.PKL, which may run code"),
    ],
)
def test_push_refuses_what_is_no_whole_model_before_anything_is_sent(folder, monkeypatch, spoil, sentence):
    from leed_hub import hub as module
    from leed_hub.errors import ModelLoadError

    def unreachable(*_, **__):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(module, "HfApi", unreachable)
    spoil(folder)
    with pytest.raises(ModelLoadError) as caught:
        module.push_folder(folder, "org/model", token=TOKEN)
    assert sentence in str(caught.value)


def test_hub_refusals_become_one_sentence_each_with_a_remedy(hub, tmp_path):
    hub.add("org/model", FILES)
    hub.add("org/private", FILES, is_private=True)
    hub.add("org/gated", FILES, is_gated=True)
    for name, status in (("limited", 429), ("broken", 500), ("unwelcome", 401), ("forbidden", 403)):
        hub.faults[f"/api/models/org/{name}"] = Fault(status=status, headers={"Retry-After": "30"})
    hub.faults["/api/models/org/portal"] = Fault(status=200, body=b"<html>Please log in</html>")
    expected = {
        "org/missing": "There is no folder org/missing here, and the Hub shows you no model of that name: check the",
        "org/private": "There is no folder org/private here, and the Hub shows you no model of that name: check the",
        "org/gated": f"org/gated is gated: accept its terms at {hub.url}/org/gated, then run `hf auth login`.",
        "org/limited": "The Hub has had too many requests from here (429): try again in 30 seconds",
        "org/broken": "The Hub has a fault of its own (500): try again later",
        "org/unwelcome": "The Hub does not accept your token: run `hf auth login`",
        "org/forbidden": "Your token may not read org/forbidden",
        "org/portal": f"What answers at {hub.url} is not the Hub",
        "not an id": "'not an id' is no Hub id; one is written org/name.",
    }
    outcomes = download(hub, tmp_path, *expected, ("org/model", {"revision": "v9"}), token=None)
    for outcome, sentence in zip(outcomes, [*expected.values(), "org/model has no revision 'v9'"], strict=True):
        assert outcome.startswith(f"HubError: {sentence}")
        assert "\n" not in outcome


def test_private_and_gated_models_load_with_the_right_token(hub, tmp_path):
    hub.add("org/private", FILES, is_private=True)
    hub.add("org/gated", FILES, is_gated=True)
    whole = digests(FILES)
    assert download(hub, tmp_path, "org/private", "org/gated") == [whole, whole]
    assert {request.authorization for request in hub.requests("GET", "/_cdn/")} == {None}  # storage sees no token


def test_repository_without_safetensors_is_refused_with_the_conversion(hub, tmp_path):
    hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."})
    (outcome,) = download(hub, tmp_path, "org/old")
    assert outcome.startswith("ModelLoadError: The Hub model org/old has no model.safetensors.")
    assert "convert it once" in outcome
    assert not hub.requests("GET", "pytorch_model.bin")


def test_branch_that_moves_between_config_and_weights_cannot_mix_them(hub, tmp_path):
    repository = hub.add("org/model", FILES)
    newer = {"config.json": b'{"width": 8}', "model.safetensors": save({"other": np.ones(3)})}
    hub.faults["model.safetensors"] = Fault(action=lambda: repository.put(newer), times=1)
    assert download(hub, tmp_path, "org/model") == [digests(FILES)]
    assert len(repository.commits) == 2  # it did move
    assert download(hub, tmp_path, "org/model") == [digests(newer)]


def test_revision_pins_what_is_loaded(hub, tmp_path):
    repository = hub.add("org/model", FILES)
    first = repository.branches["main"]
    newer = {**FILES, "config.json": b'{"width": 8}'}
    repository.put(newer)
    newest, pinned = download(hub, tmp_path, "org/model", ("org/model", {"revision": first}))
    assert (newest, pinned) == (digests(newer), digests(FILES))


def test_download_cut_mid_body_goes_on_where_it_stopped(hub, tmp_path):
    chunk = 10 * 2**20  # the client keeps whole chunks of this size
    large = {**FILES, "model.safetensors": np.random.default_rng(0).bytes(chunk + 5000)}
    hub.add("org/model", large)
    hub.faults["/_cdn/"] = Fault(cut_after=chunk + 1000, times=1)
    assert download(hub, tmp_path, "org/model") == [digests(large)]
    assert [request.byte_range for request in hub.requests("GET", "/_cdn/")] == [None, f"bytes={chunk}-"]


NOT_SERVING = {
    "too many": (Fault(status=429), "The Hub has had too many requests"),
    "broken": (Fault(status=503), "The Hub has a fault of its own (503)"),
    "forbidden": (Fault(status=403), "Your token may not read org/model"),
    "login page": (Fault(status=200, body=b"<html>Please log in</html>"), "is not the Hub; is a proxy or a login page"),
    "redirect loop": (Fault(status=302, headers={"Location": "/api/models/org/model"}), "cannot be reached"),
}


@pytest.mark.parametrize("fault", NOT_SERVING)
def test_cached_model_still_loads_with_one_warning_when_the_hub_does_not_serve(hub, tmp_path, fault):
    hub.add("org/model", FILES)
    whole = digests(FILES)
    assert download(hub, tmp_path, "org/model") == [whole]
    hub.faults["/"], sentence = NOT_SERVING[fault]
    code = DOWNLOAD.format(cases=json.dumps([("org/model", {}), ("org/other", {})]))
    client = hub.run_client(code, tmp_path)
    (warm, cold), _ = json.loads(client.stdout)
    assert warm == whole and cold.startswith("HubError") and (sentence in cold or "org/other" in cold)
    (note,) = client.stderr.splitlines()
    assert note.startswith("Note: The copy of org/model in the cache is used. ") and sentence in note


def test_weights_with_a_flipped_bit_are_refused_and_fetched_again_on_request(hub, tmp_path):
    hub.add("org/model", FILES)
    hub.faults["/_cdn/"] = Fault(flips=True, times=1)
    first, second, third = download(hub, tmp_path, "org/model", "org/model", ("org/model", {"force_download": True}))
    assert first == second
    assert "model.safetensors is not the file that the Hub has: fetch it again (force_download=True)" in first
    assert third == digests(FILES)


def test_two_processes_that_fetch_at_once_both_get_the_model_and_keep_one_copy(hub, tmp_path):
    hub.add("org/model", FILES)
    hub.faults["/_cdn/"] = Fault(delay_s=1)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: download(hub, tmp_path, "org/model"), range(2)))
    assert outcomes == [[digests(FILES)]] * 2
    assert len([path for path in tmp_path.rglob("blobs/*") if path.is_file()]) == 2


def test_push_to_a_branch_that_moves_meanwhile_is_reported_and_works_the_next_time(hub, folder, tmp_path):
    repository = hub.add("org/model", {"config.json": b"{}"})
    hub.faults["/preupload/"] = Fault(action=lambda: repository.put({"notes.md": b"theirs"}), times=1)
    assert (
        "HubError: Somebody else changed org/model at the same moment"
        in push(hub, tmp_path, folder, "org/model").stdout
    )
    assert set(repository.head) == {"notes.md"}
    push(hub, tmp_path, folder, "org/model")
    assert set(repository.head) == {"notes.md", *FILES}


@pytest.mark.parametrize(
    ("place", "status", "sentence"),
    [
        ("/api/repos/create", 402, "The Hub asks for a paid plan or more storage before it takes org/model"),
        ("/commit/", 413, "A file is larger than the Hub takes for org/model"),
    ],
)
def test_push_that_the_hub_does_not_take_says_what_it_wants(hub, folder, tmp_path, place, status, sentence):
    hub.faults[place] = Fault(status=status)
    assert push(hub, tmp_path, folder, "org/model").stdout.startswith(f"HubError: {sentence}")


def test_a_token_that_only_reads_is_known_before_anything_is_sent_though_the_repository_exists(hub, folder, tmp_path):
    hub.add("org/model", {})
    said = push(hub, tmp_path, folder, "org/model", READ_TOKEN).stdout
    assert said.startswith("HubError: Your token may not write to org/model")
    assert not hub.requests("POST", "/preupload/")


def test_offline_loads_from_the_cache_and_else_says_how_to_fill_it(hub, tmp_path):
    hub.add("org/model", FILES)
    whole = digests(FILES)
    remedy = "is not in the cache, and the Hub is not to be asked"
    (cold,) = download(hub, tmp_path, "org/model", HF_HUB_OFFLINE="1")
    assert cold.startswith(f"HubError: org/model {remedy}")
    assert download(hub, tmp_path, "org/model") == [whole]
    asked = len(hub.log)
    warm, only_local, other = download(
        hub,
        tmp_path,
        "org/model",
        ("org/model", {"local_files_only": True}),
        ("org/other", {"local_files_only": True}),
        HF_HUB_OFFLINE="1",
    )
    assert warm == only_local == whole
    assert other.startswith(f"HubError: org/other {remedy}")
    assert len(hub.log) == asked


def test_unreachable_hub_is_reported_at_once(hub, tmp_path):
    unreachable = "http://127.0.0.1:9"  # the discard port, closed
    (outcome,), seconds = timed_download(hub, tmp_path, "org/model", HF_ENDPOINT=unreachable)
    assert outcome.startswith("HubError: The Hub at http://127.0.0.1:9 cannot be reached (ConnectError)")
    assert seconds < 20  # huggingface_hub alone would wait 23 s between its tries


def test_hub_that_never_answers_is_given_up_on(hub, tmp_path):
    hub.add("org/model", FILES)
    hub.faults["/api/models/"] = Fault(delay_s=60)
    (outcome,), seconds = timed_download(hub, tmp_path, "org/model", HF_HUB_ETAG_TIMEOUT="1")
    assert outcome.startswith(f"HubError: The Hub at {hub.url} cannot be reached (ReadTimeout)")
    assert seconds < 30


def test_cache_that_cannot_be_written_is_named(hub, tmp_path):
    hub.add("org/model", FILES)
    (tmp_path / "file").write_text("in the way")
    (outcome,) = download(hub, tmp_path / "file", "org/model")
    assert outcome.startswith("HubError: The Hub's cache cannot be used")
    assert str(tmp_path / "file") in outcome
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)
