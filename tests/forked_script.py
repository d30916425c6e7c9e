"""A script's runs without its imports, which take longer than what tests have it do."""

import json
import subprocess
import sys
from pathlib import Path

NURSERY = """
import json, os, runpy, sys
script = sys.argv[1]
runpy.run_path(script)  # imports what it needs
for line in sys.stdin:
    arguments, *files = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
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

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """The script with these arguments, to its end."""
        self._process.stdin.write(json.dumps([arguments, *self._files]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(Path(file).read_text() for file in self._files))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)
