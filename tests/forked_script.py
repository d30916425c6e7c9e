"""A script's runs without its imports, which take longer than what tests have it do."""

import json
import socket
import subprocess
import sys
from pathlib import Path

NURSERY = """
import json, os, runpy, sys
script = sys.argv[1]
runpy.run_path(script)  # imports what it needs
for line in sys.stdin:
    arguments, environments, *files = json.loads(line)
    children = []
    for environment in environments:
        if not (child := os.fork()):
            break
        children.append(child)
    else:
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(max(codes, key=abs), flush=True)
        continue
    os.environ |= environment
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
    break
"""


class ForkedScript:
    """A process that has imported all that a script imports, and forks for each run of it.

    Args:
        script: the Python file.
        environment: what it and its runs see.
        folder: for what runs print.
    """

    def __init__(self, script: Path, environment: dict[str, str], folder: Path):
        self._files = [str(folder / name) for name in ("stdout.txt", "stderr.txt")]
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(script)],
            env=environment,
            cwd=script.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, processes: int = 1) -> subprocess.CompletedProcess:
        """The script with these arguments, to its end; in several processes as torchrun starts them."""
        for file in self._files:
            Path(file).write_text("")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            shared = {
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(free.getsockname()[1]),
            }
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
        environments = ranks if processes > 1 else [{}]
        self._process.stdin.write(json.dumps([arguments, environments, *self._files]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(Path(file).read_text() for file in self._files))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)
