"""A Hugging Face Hub on the loopback interface: enough of its HTTP API for huggingface_hub, and faults on demand.

    with LoopbackHub() as hub:
        answer = hub.run_client("import huggingface_hub; print(huggingface_hub.whoami()['name'])", home=tmp_path)

Repositories live in memory. The client runs in a process of its own, for huggingface_hub reads HF_ENDPOINT when it is
imported, and with HF_HUB_DISABLE_XET=1, for xet storage is not imitated.
"""

import asyncio
import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

TOKEN = "hf_loopbackTokenThatMayWrite"
READ_TOKEN = "hf_loopbackTokenThatMayOnlyRead"
LFS_SUFFIXES = (".safetensors", ".bin", ".parquet")
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class StoredFile:
    """A file of a commit; large ones are known to git by a pointer, as on the Hub."""

    content: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {len(self.content)}")
        return "".join(line + "\n" for line in lines).encode()

    @property
    def git_oid(self) -> str:
        blob = self.pointer if self.is_lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()


@dataclass
class Repository:
    """Branches name commits; a commit is its files."""

    name: str
    is_private: bool = False
    is_gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)

    def commit(self, files: dict[str, StoredFile], branch: str = "main") -> str:
        """Add a commit that holds exactly `files` and let the branch name it."""
        sha = hashlib.sha1(f"{self.name} {len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def put(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit whole files as somebody else's push would, replacing all there was."""
        return self.commit(
            {name: StoredFile(content, name.endswith(LFS_SUFFIXES)) for name, content in files.items()}, branch
        )

    def sha_of(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)

    @property
    def head(self) -> dict[str, StoredFile]:
        return self.commits[self.branches["main"]]


@dataclass
class Fault:
    """What goes wrong with a request; the parts are taken in this order.

    Attributes:
        action: called first, for what happens on the Hub at just this moment.
        delay_s: wait before answering.
        status: answer with this and nothing else.
        headers, body: of that answer.
        cut_after: break the connection after so many bytes of a large file's body.
        flips: change the last bit of a large file's body.
        times: how many requests it meets; None for all.
    """

    action: Callable[[], object] | None = None
    delay_s: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    flips: bool = False
    times: int | None = None


@dataclass
class LoggedRequest:
    method: str
    path: str
    authorization: str | None
    byte_range: str | None


class LoopbackHub:
    """The server, as a context manager.

    Attributes:
        url: its address, for HF_ENDPOINT.
        repositories: by "org/name", those of datasets by "datasets/org/name"; tests may fill it directly.
        faults: a part of a request's path -> the `Fault` that meets it.
        log: all requests so far.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[str, Fault] = {}
        self.log: list[LoggedRequest] = []
        self._uploads: dict[str, bytes] = {}
        self._server = uvicorn.Server(uvicorn.Config(self._build_app(), log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=lambda: self._server.run(sockets=[self._socket]), daemon=True)

    def __enter__(self) -> "LoopbackHub":
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline:
                raise RuntimeError("the loopback Hub did not start within 10 s")
            time.sleep(0.01)
        return self

    def __exit__(self, *_) -> None:
        self._server.should_exit = self._server.force_exit = True  # requests that wait on purpose are not waited for
        self._thread.join(10)
        self._socket.close()

    def add(self, name: str, files: dict[str, bytes], **traits) -> Repository:
        """A repository with one commit, made without the client."""
        repository = self.repositories[name] = Repository(name, **traits)
        repository.put(files)
        return repository

    def requests(self, method: str, part: str = "") -> list[LoggedRequest]:
        """The logged requests of a method whose path holds `part`."""
        return [request for request in self.log if request.method == method and part in request.path]

    def environment(self, home: Path, token: str | None = TOKEN, **changes: str) -> dict[str, str]:
        """A client's environment: this Hub, its own cache, and nothing of the caller's Hub settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "tests", "tests/models")),
        }
        if token is not None:
            settings["HF_TOKEN"] = token
        return {**kept, **settings, **changes}

    def run_client(
        self, code: str, home: Path, token: str | None = TOKEN, **changes: str
    ) -> subprocess.CompletedProcess:
        """Run Python code in a fresh process whose Hub is this one."""
        return subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment(home, token, **changes),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def _build_app(self) -> FastAPI:
        app = FastAPI()
        app.middleware("http")(self._log_and_fail)
        app.add_exception_handler(_Refusal, lambda _, refusal: refusal.response)
        routes = {
            ("GET", "/api/whoami-v2"): self._whoami,
            ("POST", "/api/repos/create"): self._create,
            ("POST", "/api/validate-yaml"): self._validate_yaml,
            ("PUT", "/_lfs/{oid}"): self._lfs_upload,
            ("POST", "/_lfs/verify"): self._lfs_verify,
            ("GET", "/_cdn/{sha}/{path:path}"): self._large_file,
        }
        for api, files in (("/api/models", ""), ("/api/datasets", "/datasets")):
            routes |= {
                ("POST", api + "/{org}/{name}/branch/{revision}"): self._branch,
                ("POST", api + "/{org}/{name}/preupload/{revision}"): self._preupload,
                ("POST", files + "/{org}/{name}.git/info/lfs/objects/batch"): self._lfs_batch,
                ("POST", api + "/{org}/{name}/commit/{revision}"): self._commit,
                ("GET", api + "/{org}/{name}"): self._info,
                ("GET", api + "/{org}/{name}/revision/{revision}"): self._info,
                ("GET", api + "/{org}/{name}/tree/{revision}"): self._tree,
                ("GET", api + "/{org}/{name}/tree/{revision}/{folder:path}"): self._tree,
                ("GET", api + "/{org}/{name}/refs"): self._refs,
                ("GET", files + "/{org}/{name}/resolve/{revision}/{path:path}"): self._resolve,
            }
        for (method, path), handler in routes.items():
            app.add_api_route(path, handler, methods=["GET", "HEAD"] if method == "GET" else [method])
        return app

    async def _log_and_fail(self, request: Request, call_next) -> Response:
        headers = request.headers
        path = request.url.path
        self.log.append(LoggedRequest(request.method, path, headers.get("authorization"), headers.get("range")))
        fault = next((fault for part, fault in self.faults.items() if part in path), None)
        if fault is None or fault.times == 0 or (fault.cut_after is not None and request.method == "HEAD"):
            return await call_next(request)
        if fault.times is not None:
            fault.times -= 1
        if fault.action is not None:
            fault.action()
        await asyncio.sleep(fault.delay_s)
        if fault.status is not None:
            return Response(fault.body, fault.status, headers=fault.headers)
        request.state.cut_after, request.state.flips = fault.cut_after, fault.flips
        return await call_next(request)

    def _find(self, request: Request, revision: str = "main") -> tuple[Repository, str]:
        """The repository and commit a path names, or the refusal the Hub would answer with."""
        kind = "datasets/" if "/datasets/" in request.url.path else ""
        repository = self.repositories.get(kind + "{org}/{name}".format(**request.path_params))
        token = _token(request)
        if repository is None or (repository.is_private and token not in (TOKEN, READ_TOKEN)):
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.is_gated and token != TOKEN:
            raise _Refusal(403 if token else 401, "GatedRepo", "Access to this model is restricted")
        sha = repository.sha_of(revision)
        if sha is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha

    async def _whoami(self, request: Request) -> Response:
        _authorise(request, may_write=False)
        auth = {"accessToken": {"displayName": "test", "role": "write" if _token(request) == TOKEN else "read"}}
        user = {"type": "user", "id": "1", "name": "tester", "fullname": "Tester", "orgs": [], "auth": auth}
        return JSONResponse(user)

    async def _create(self, request: Request) -> Response:
        _authorise(request)
        wanted = await request.json()
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        key = ("datasets/" if wanted.get("type") == "dataset" else "") + name
        answer = {"url": f"{self.url}/{key}", "name": name}
        if key in self.repositories:
            return JSONResponse({"error": "You already created this repo", **answer}, 409)
        self.repositories[key] = Repository(key, is_private=wanted.get("visibility") == "private")
        self.repositories[key].commit({})
        return JSONResponse(answer)

    async def _validate_yaml(self) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def _branch(self, request: Request, revision: str) -> Response:
        _authorise(request)
        repository, sha = self._find(request)
        if revision in repository.branches:
            return JSONResponse({"error": "Reference already exists"}, 409)
        repository.branches[revision] = sha
        return JSONResponse({})

    async def _preupload(self, request: Request, revision: str) -> Response:
        """Say which files go through LFS, and under which name the Hub knows what it has."""
        _authorise(request)
        repository, sha = self._find(request, revision)
        answers = []
        for wanted in (await request.json())["files"]:
            is_lfs = wanted["path"].endswith(LFS_SUFFIXES)
            answer = {"path": wanted["path"], "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
            if stored := repository.commits[sha].get(wanted["path"]):
                answer["oid"] = stored.sha256 if stored.is_lfs else stored.git_oid
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def _lfs_batch(self, request: Request) -> Response:
        self._find(request)
        answers = []
        for wanted in (await request.json())["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self._uploads:
                upload, verify = f"{self.url}/_lfs/{wanted['oid']}", f"{self.url}/_lfs/verify"
                answer["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            answers.append(answer)
        return JSONResponse({"transfer": "basic", "objects": answers})

    async def _lfs_upload(self, request: Request, oid: str) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            return Response(status_code=400)
        self._uploads[oid] = content
        return Response()

    async def _lfs_verify(self, request: Request) -> Response:
        wanted = await request.json()
        return Response(status_code=200 if len(self._uploads.get(wanted["oid"], b"")) == wanted["size"] else 400)

    async def _commit(self, request: Request, revision: str) -> Response:
        _authorise(request)
        repository, sha = self._find(request, revision)
        files = dict(repository.commits[sha])
        for line in (await request.body()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit", sha) != sha:
                return JSONResponse({"error": "A commit has happened since"}, 412)
            if entry["key"] == "file":
                files[value["path"]] = StoredFile(base64.b64decode(value["content"]), is_lfs=False)
            elif entry["key"] == "lfsFile":
                files[value["path"]] = StoredFile(self._uploads[value["oid"]], is_lfs=True)
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        is_proposed = request.query_params.get("create_pr") == "1"
        oid = repository.commit(files, "refs/pr/1" if is_proposed else revision)
        answer = {"commitOid": oid, "commitUrl": f"{self.url}/{repository.name}/commit/{oid}"}
        if is_proposed:
            answer["pullRequestUrl"] = f"{self.url}/{repository.name}/discussions/1"
        return JSONResponse(answer)

    async def _info(self, request: Request, revision: str = "main") -> Response:
        repository, sha = self._find(request, revision)
        siblings = [{"rfilename": name, "size": len(file.content)} for name, file in repository.commits[sha].items()]
        state = {"sha": sha, "private": repository.is_private, "gated": repository.is_gated, "siblings": siblings}
        return JSONResponse(
            {"id": repository.name.removeprefix("datasets/"), "tags": [], "downloads": 0, "likes": 0, **state}
        )

    async def _tree(self, request: Request, revision: str, folder: str = "") -> Response:
        """The files and folders right below a folder; all files below it if the query says `recursive`."""
        repository, sha = self._find(request, revision)
        start = f"{folder}/" if folder else ""
        is_recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        entries = {}
        for name, file in repository.commits[sha].items():
            inner, below, _ = name.removeprefix(start).partition("/")
            if not name.startswith(start):
                continue
            if below and not is_recursive:
                oid = hashlib.sha1(f"{sha} {start}{inner}".encode()).hexdigest()
                entries[start + inner] = {"type": "directory", "path": start + inner, "size": 0, "oid": oid}
                continue
            entries[name] = {"type": "file", "path": name, "size": len(file.content), "oid": file.git_oid}
            if file.is_lfs:
                lfs = {"oid": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}
                entries[name]["lfs"] = lfs
        if folder and not entries:
            raise _Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        return JSONResponse(list(entries.values()))

    async def _refs(self, request: Request) -> Response:
        repository, _ = self._find(request)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
            for name, sha in repository.branches.items()
        ]
        return JSONResponse({"branches": branches, "tags": [], "converts": []})

    async def _resolve(self, request: Request, revision: str, path: str) -> Response:
        repository, sha = self._find(request, revision)
        file = repository.commits[sha].get(path)
        if file is None:
            raise _Refusal(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": sha})
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.git_oid}"'}
        if file.is_lfs:  # handed on to storage on another host, which sees no token
            storage = self.url.replace("127.0.0.1", "localhost")
            headers["X-Linked-Size"], headers["X-Linked-Etag"] = str(len(file.content)), f'"{file.sha256}"'
            headers["Location"] = f"{storage}/_cdn/{file.sha256}/{path}"
            return Response(status_code=302, headers=headers)
        return Response(file.content, headers=headers)

    async def _large_file(self, request: Request, sha: str) -> Response:
        stored = (
            file for repo in self.repositories.values() for tree in repo.commits.values() for file in tree.values()
        )
        content = next(file.content for file in stored if file.sha256 == sha)
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{sha}"', "Accept-Ranges": "bytes", "Content-Length": str(len(content) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut_after = getattr(request.state, "cut_after", None)
        if getattr(request.state, "flips", False):
            content = content[:-1] + bytes([content[-1] ^ 1])

        async def body():
            if cut_after is None:
                yield content[start:]
            else:
                yield content[start : start + cut_after]
                raise ConnectionError("cut on purpose")

        return StreamingResponse(body(), 206 if start else 200, headers=headers)


class _Refusal(Exception):
    """An answer that says no, in the headers huggingface_hub reads."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        coded = {"X-Error-Code": code} if code else {}
        self.response = JSONResponse(
            {"error": message}, status, headers={**coded, "X-Error-Message": message, **(headers or {})}
        )


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _authorise(request: Request, may_write: bool = True) -> None:
    if _token(request) not in (TOKEN, READ_TOKEN):
        raise _Refusal(401, "", "Invalid username or password.")
    if may_write and _token(request) != TOKEN:
        raise _Refusal(403, "", "You don't have the rights to create a model")
