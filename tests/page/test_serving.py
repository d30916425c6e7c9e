"""What `gradio_client` gets, what is not fetched, and what is not kept."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import wave
from functools import partial
from pathlib import Path

import gradio as gr
import numpy as np
import psutil
import pytest
from conftest import portrait
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from made_video import make_video
from PIL import Image

import app
from app import MISFIT, FaceFile, FaceImage, build_demo, give_memory_back, loaded, main
from leed_hub import ExpressionEditor, ExpressionRecognizer
from leed_hub.media.images import load_image
from leed_hub.media.provenance import is_marked_edited

ROOT = Path(__file__).parents[2]


def test_the_endpoints_answer_a_client_and_need_its_consent(page, photographs):
    client = Client(page, verbose=False)
    source, reference = (handle_file(str(path)) for path in photographs)
    file, note = client.predict(source, reference, 1.0, True, api_name="/edit")
    assert is_marked_edited(file)
    assert note == ""
    smile, _ = client.predict(source, None, 1.0, True, expression="smile", api_name="/edit")
    mouth, _ = client.predict(source, None, 1.0, True, expression="smile", eyes=0.0, api_name="/edit")
    both, _ = client.predict(source, reference, 1.0, True, expression="anger", api_name="/edit")
    assert np.array_equal(np.asarray(Image.open(both)), np.asarray(Image.open(file)))  # a reference goes before a name
    pictures = [np.asarray(Image.open(path)) for path in (file, smile, mouth)]
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    with pytest.raises(AppError, match="confirm that you may use"):
        client.predict(source, reference, 1.0, False, api_name="/edit")


def test_a_face_is_neutralised_and_another_than_the_largest_chosen(page, photographs):
    client, smile = Client(page, verbose=False), handle_file(str(photographs[1]))
    file, _ = client.predict(smile, True, api_name="/neutralize")
    same, _ = client.predict(smile, None, 0.0, True, expression="neutral", api_name="/edit")
    assert is_marked_edited(file)
    assert np.array_equal(np.asarray(Image.open(file)), np.asarray(Image.open(same)))
    with pytest.raises(AppError, match="no face number 1"):
        client.predict(smile, True, "1", api_name="/neutralize")


def test_an_assistant_finds_the_tools_described_and_uses_them(page, photographs):
    """By the Model Context Protocol; a picture comes within the call, and addresses are not read here either."""
    mcp, http = pytest.importorskip("mcp"), pytest.importorskip("mcp.client.streamable_http")
    photo = "data:image/png;base64," + base64.b64encode(photographs[0].read_bytes()).decode()

    async def talk():
        async with (
            http.streamablehttp_client(f"{page}/gradio_api/mcp/") as (reading, writing, _),
            mcp.ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            told = await session.call_tool("neutralize", {"photo": photo, "consent": True})
            refused = await session.call_tool("neutralize", {"photo": "http://127.0.0.1:9/a.png", "consent": True})
            return tools, told, refused

    tools, told, refused = asyncio.run(talk())
    assert {"edit", "neutralize"} <= tools.keys()
    assert all(tool.description.strip() for tool in tools.values())
    described = tools["edit"].inputSchema["properties"]
    assert described["strength"]["description"] == "0 neutral, 1 as the reference, up to 2."
    assert not told.isError and "_edited.png" in told.content[0].text
    assert refused.isError and "addresses are not read" in refused.content[0].text


@pytest.mark.parametrize("kind", ["text", "truncated", "no face"])
def test_a_bad_picture_gets_a_sentence_and_no_traceback(kind, page, photographs, tmp_path):
    bad = tmp_path / "bad.jpg"
    if kind == "text":
        bad.write_text("this is not a picture")
    elif kind == "truncated":
        bad.write_bytes(photographs[0].read_bytes()[:2000])
    else:
        Image.new("RGB", (300, 300), (90, 120, 90)).save(bad)
    with pytest.raises(AppError) as error:
        Client(page, verbose=False).predict(handle_file(str(bad)), None, 1.0, True, api_name="/edit")
    text = str(error.value)
    assert text.endswith(".") and "Traceback" not in text and str(tmp_path) not in text


def test_what_nobody_expected_is_told_to_no_client(photographs, tmp_path, monkeypatch):
    """An exception may hold paths and tokens; the page is launched as `python app.py` does it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("app.keep_files_for_the_session", lambda: None)
    pages, calls, launch = [], [], gr.Blocks.launch

    def launched(demo, **options):
        pages.append((demo, launch(demo, **options, prevent_thread_lock=True, quiet=True)[1]))

    def fails(*arguments, **options):
        calls.append(arguments)
        raise RuntimeError("/secret/me.jpg hf_x")

    monkeypatch.setattr(gr.Blocks, "launch", launched)
    main()
    ((demo, address),) = pages
    monkeypatch.setattr(ExpressionEditor, "__call__", fails)
    try:
        client, photo = Client(address, verbose=False), handle_file(str(photographs[0]))
        for name, given in (("edit", [photo, photo, 1.0, True]), ("neutralize", [photo, True])):
            with pytest.raises(AppError) as error:
                client.predict(*given, api_name=f"/{name}")
            assert not any(word in str(error.value) for word in ("secret", "hf_x", "RuntimeError"))
        assert len(calls) == 2
    finally:
        demo.close()


@pytest.mark.parametrize("kind", ["text", "cut off", "no face", "sound"])
def test_a_bad_video_gets_a_sentence_and_no_traceback(kind, page, tmp_path):
    bad = tmp_path / "bad.mp4"
    picture = np.asarray(portrait("source").resize((96, 96)))
    if kind == "text":
        bad.write_text("this is not a film")
    elif kind == "cut off":
        whole = make_video(tmp_path / "whole.mp4", [picture] * 10, rate=10)
        bad.write_bytes(whole.read_bytes()[:900])
    elif kind == "no face":
        make_video(bad, [np.full((96, 96, 3), 90, np.uint8)] * 10, rate=10)
    else:
        with wave.open(str(bad), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16000))
    client = Client(page, verbose=False)
    calls = (
        partial(client.predict, handle_file(str(bad)), None, 1.0, True, expression="smile", api_name="/edit_video"),
        partial(client.predict, handle_file(str(bad)), api_name="/read_video"),
    )
    for call in calls:
        with pytest.raises(AppError) as error:
            call()
        text = str(error.value)
        assert text.endswith(".") and "Traceback" not in text and "/" not in text


@pytest.mark.slow
def test_many_at_once_each_get_their_own_answer(page, photographs, tmp_path):
    client = Client(page, verbose=False, httpx_kwargs={"timeout": 120})
    photo, jobs = Image.open(photographs[0]), {}
    for side in range(200, 240):  # how one tells whose answer it is
        photo.resize((side, side)).save(tmp_path / f"{side}.png")
        jobs[side] = client.submit(
            handle_file(str(tmp_path / f"{side}.png")), None, 1.0, True, expression="smile", api_name="/edit"
        )
    for side, job in jobs.items():
        file, _ = job.result(timeout=300)
        assert Image.open(file).size == (side, side) and Path(file).stem == f"{side}_edited"


def posted(address: str, body: bytes, kind: str) -> bytes:
    """What is answered; not by gradio's client, which holds back what the page must refuse itself."""
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": kind})) as answer:
        return answer.read()


def test_a_file_over_the_limit_is_refused(page):
    head = b'--end\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    with pytest.raises(urllib.error.HTTPError) as refused:
        posted(
            f"{page}/gradio_api/upload",
            head + bytes(106_000_000) + b"\r\n--end--\r\n",
            "multipart/form-data; boundary=end",
        )
    assert refused.value.code == 413


def called(page: str, name: str, *data) -> str:
    """What is answered to a call without gradio's client."""
    address = f"{page}/gradio_api/call/{name}"
    event = json.loads(posted(address, json.dumps({"data": data}).encode(), "application/json"))["event_id"]
    with urllib.request.urlopen(f"{address}/{event}") as answer:
        return answer.read().decode()


UPLOADED = {"_type": "gradio.FileData"}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../etc/passwd", "file:///etc/passwd", str(ROOT / "tests/golden_edit.png")]
)
@pytest.mark.parametrize("claim", [{"meta": UPLOADED}, {"meta": {"_type": "?"}}, {}, {"url": "/gradio_api/file=a"}])
def test_a_file_of_the_machine_is_neither_read_nor_served(claim, path, page):
    file = {"path": path} | claim
    for name, *data in (("neutralize", file, True), ("read", [file]), ("edit_video", file, None, 1, True)):
        answer = called(page, name, *data)
        assert answer.startswith("event: error") and ("addresses are not read" in answer or MISFIT in answer)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{page}/gradio_api/file={path}")
    assert refused.value.code == 403


@pytest.mark.parametrize("photo", [5, "text", {"path": 5}, {"path": "a", "meta": 5}, [], [{}], True])
def test_what_is_no_upload_is_answered_with_a_sentence(photo, page):
    for name, *data in (("neutralize", photo, True), ("read", photo), ("edit_video", photo, None, 1, True)):
        answer = called(page, name, *data)
        assert answer.startswith("event: error") and (MISFIT in answer or "Please choose" in answer)


def test_where_an_upload_lies_can_be_neither_guessed_nor_listed(page):
    """Who knows the address of a file may fetch it while it is kept: it is as secret as the file's owner keeps it."""
    head = b'--end\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    form = head + b"a face" + b"\r\n--end--\r\n"
    (path,) = json.loads(posted(f"{page}/gradio_api/upload", form, "multipart/form-data; boundary=end"))
    secret = Path(path).parent.name
    assert len(secret) == 64 and secret != hashlib.sha256(b"a face").hexdigest()
    with urllib.request.urlopen(f"{page}/gradio_api/file={path}") as answer:
        assert answer.read() == b"a face"
    for folder in (Path(path).parent, Path(path).parents[1]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{page}/gradio_api/file={folder}")
        assert refused.value.code == 403


def test_no_picture_is_kept_or_offered_for_sharing(page):
    with urllib.request.urlopen(f"{page}/config") as answer:
        config = json.load(answer)
    drawn = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    assert drawn["read-picture"]["buttons"] == ["download"]  # gradio's default uploads to the Hub at a click
    assert config["run_history"] is False


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/face.png", "https://example.org/face.png"])
def test_an_address_in_place_of_an_upload_is_not_fetched(url, page):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = url.format(port=listener.getsockname()[1])
        for claim in ({"meta": UPLOADED}, {}):
            file = {"path": address, "url": address} | claim
            for name, *data in (("neutralize", file, True), ("read", [file]), ("edit_video", file, None, 1, True)):
                assert "addresses are not read" in called(page, name, *data)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_no_part_of_the_page_fetches_an_address(monkeypatch):
    """Not even those that only the page itself uses, but that a client can reach by their number."""
    fetched = []

    async def fetch(url, cache_dir):
        fetched.append(url)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    file = {"path": "https://example.org/a.png", "meta": UPLOADED}
    demo = build_demo(ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained())
    tried = set()
    for function in demo.fns.values():
        for place, part in enumerate(function.inputs):
            if isinstance(part, gr.Image | gr.File | gr.UploadButton):
                given = [None] * len(function.inputs)
                given[place] = [file] if getattr(part, "file_count", "single") != "single" else file
                with pytest.raises(gr.Error, match="addresses are not read"):
                    asyncio.run(demo.preprocess_data(function, given, None))
                tried.add(type(part))
    assert tried == {gr.Image, gr.UploadButton, FaceImage, FaceFile} and fetched == []


def test_a_picture_within_an_address_is_not_read(page, photographs):
    text = "data:image/png;base64," + base64.b64encode(photographs[0].read_bytes()).decode()
    for file in ({"url": text}, {"url": text, "meta": UPLOADED}, {"url": text, "path": "", "meta": UPLOADED}):
        assert called(page, "neutralize", file, True).startswith("event: error")


@pytest.mark.parametrize("consent", ["false", "true", 1, [False], None])
def test_only_a_plain_yes_is_a_consent(consent, page, photographs):
    source, reference = (handle_file(str(path)) for path in photographs)
    with pytest.raises(AppError, match="confirm that you may use"):
        Client(page, verbose=False).predict(source, reference, 1.0, consent, api_name="/edit")


@pytest.mark.parametrize("pipeline", [ExpressionEditor, ExpressionRecognizer])
def test_weights_that_cannot_be_had_give_way_to_the_bundled_ones_and_the_page_says_so(pipeline, tmp_path):
    found, note = loaded(pipeline, str(tmp_path / "none"))
    assert isinstance(found, pipeline) and "could not be loaded; the bundled weights" in note
    assert loaded(pipeline, None)[1] == ""


def test_no_more_visitors_wait_or_are_remembered_than_memory_holds(monkeypatch):
    served = {}

    class Demo:
        def queue(self, max_size):
            served["waiting"] = max_size
            return self

        def launch(self, *, state_session_capacity, **_):
            served["remembered"] = state_session_capacity

    for name, stand_in in {
        "keep_files_for_the_session": lambda: None,
        "tidy_memory": lambda: None,
        "loaded": lambda pipeline, name: (None, ""),
        "build_demo": lambda *_: Demo(),
    }.items():
        monkeypatch.setattr(app, name, stand_in)
    app.main()
    assert served == {"waiting": app.VISITORS, "remembered": app.VISITORS} and app.VISITORS <= 256


@pytest.mark.parametrize("space", [True, False])
def test_only_a_page_at_home_says_that_it_is_on_this_machine_alone(space, monkeypatch):
    if space:
        monkeypatch.setenv("SPACE_ID", "org/name")
    demo = build_demo(ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained(), "A note.")
    heading = demo.config["components"][0]["props"]["value"]
    assert ("on this machine" in heading) != space and "A note." in heading


def test_what_pictures_took_is_given_back_though_something_younger_stays():
    memory = psutil.Process().memory_info
    np.ones(2**24, np.uint8)  # by default, what is up to so large comes from the heap from then on
    pictures = [(np.ones(2**20, np.uint8), bytes(2**16)) for _ in range(100)]
    full = memory().rss
    small = [small for _, small in pictures]
    del pictures
    give_memory_back()
    assert len(small) == 100 and full - memory().rss > 90 * 2**20


def test_what_was_uploaded_and_made_is_gone_after_its_time(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("app.KEPT_S", 30)  # less, and a busy machine would delete the upload before it is read
    demo = build_demo(ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained())
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        own = set(tmp_path.rglob("*"))  # the page's pictures
        client = Client(address, verbose=False, download_files=False)
        edited, _ = client.predict(handle_file(str(photographs[0])), True, api_name="/neutralize")
        kept = [path for path in set(tmp_path.rglob("*")) - own if path.is_file()]
        assert {"source.png", "source_edited.png"} <= {path.name for path in kept}
        for _ in range(300):
            if not any(path.exists() for path in kept):
                break
            time.sleep(0.2)
        assert [path for path in kept if path.exists()] == []
        with pytest.raises(urllib.error.HTTPError) as gone:
            urllib.request.urlopen(edited["url"])
        assert gone.value.code in (403, 404)
    finally:
        demo.close()


def test_where_too_many_wait_the_next_ones_are_told_and_the_others_answered(photographs, monkeypatch):
    goes_on = threading.Event()

    def slowly(path):
        goes_on.wait(120)
        return load_image(path)

    monkeypatch.setattr(app, "load_image", slowly)
    demo = build_demo(ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained()).queue(max_size=2)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        client = Client(address, verbose=False)
        photo = handle_file(str(photographs[0]))
        asked = [client.submit(photo, True, api_name="/neutralize") for _ in range(8)]
        for _ in range(600):
            if any(job.done() for job in asked):
                break
            time.sleep(0.1)
        goes_on.set()
        errors = [job.exception(timeout=120) for job in asked]
    finally:
        demo.close()
    refused = [str(error) for error in errors if error]
    assert 0 < len(refused) < len(errors) and all("Queue is full" in text for text in refused)


@pytest.mark.parametrize("endpoint", ["edit", "neutralize"])
def test_who_sends_one_large_picture_after_the_other_holds_nobody_up(endpoint, photographs, tmp_path, monkeypatch):
    goes_on, edit = threading.Event(), ExpressionEditor.__call__

    def slowly(editor, photo, *arguments, **options):
        if Path(photo).stem == "large":
            goes_on.wait(120)
        return edit(editor, photo, *arguments, **options)

    monkeypatch.setattr(ExpressionEditor, "__call__", slowly)
    large = tmp_path / "large.png"
    large.write_bytes(photographs[0].read_bytes())
    demo = build_demo(ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained()).queue()
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)

    def asked(path: Path):
        picture = handle_file(str(path))
        given = [picture, None, 1.0, True, "largest", "smile"] if endpoint == "edit" else [picture, True]
        return Client(address, verbose=False).submit(*given, api_name=f"/{endpoint}")

    try:
        first = asked(large)
        for path in photographs:
            file, _ = asked(path).result(timeout=60)
            assert Path(file).stem == f"{path.stem}_edited"
        assert not first.done()
        goes_on.set()
        assert Path(first.result(timeout=60)[0]).stem == "large_edited"
    finally:
        goes_on.set()
        demo.close()


@pytest.mark.slow
def test_uploads_go_when_the_page_ends_or_at_the_latest_when_the_next_one_starts(tmp_path):
    script = """
import os, signal, sys, time
import app
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:  # a page for each line
    if not os.fork():
        app.keep_files_for_the_session()
        print(os.getpid(), os.environ["GRADIO_TEMP_DIR"], flush=True)
        time.sleep(600)
"""
    pages = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start():
        pages.stdin.write("\n")
        pages.stdin.flush()
        number, folder = pages.stdout.readline().split(maxsplit=1)
        folder = Path(folder.strip())
        (folder / "upload.png").write_text("somebody's face")
        return psutil.Process(int(number)), folder

    other, kept = start()
    for end in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process, folder = start()
        process.send_signal(end)
        process.wait(timeout=60)
        assert folder.exists() == (end == signal.SIGKILL)
    next_one, _ = start()
    assert not folder.exists() and (kept / "upload.png").exists()
    for one in (other, next_one):
        one.terminate()
        one.wait(timeout=60)
    pages.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []
