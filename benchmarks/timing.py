"""Medians of interleaved repeats, and ratios of them with the limit each should keep."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

UNCOUNTED = 3  # rounds in which caches fill and kernels are chosen


@dataclass(frozen=True)
class Line:
    """One line of a benchmark.

    Attributes:
        name: what is compared, for a reader.
        numerator: name of a measured function.
        yardstick: name of the one it is divided by; None where the numerator is no time but stands for itself.
        limit: the most it should be.
    """

    name: str
    numerator: str
    yardstick: str | None
    limit: float


def medians_ms(timed: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each function; round after round, each once: what slows the machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for round_number in range(repeats + UNCOUNTED):
        for name, function in timed.items():
            started = time.perf_counter()
            function()
            if round_number >= UNCOUNTED:
                seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def report(lines: tuple[Line, ...], measured: dict[str, float], facts: dict, json_file: Path) -> None:
    """Print each line beside its limit and write everything; a limit that is missed is said, and is no error."""
    found = []
    for line in lines:
        value = measured[line.numerator] / (measured[line.yardstick] if line.yardstick else 1)
        kept = value <= line.limit
        print(f"{value:8.2f}  limit {line.limit:g}  {'' if kept else 'MISSED  '}{line.name}")
        found.append({"name": line.name, "value": round(value, 4), "limit": line.limit, "kept": kept})
    rounded = {name: round(value, 3) for name, value in measured.items()}
    json_file.write_text(json.dumps(facts | {"lines": found, "measured": rounded}, indent=2) + "\n")
    print(f"Wrote {json_file}.")


def fast(network: torch.nn.Module) -> torch.nn.Module:
    """A yardstick in the layout that ours run in."""
    return network.eval().to(memory_format=torch.channels_last)


def onnx_session(path: Path, threads: int):
    """A graph on as many threads as torch; they wait asleep, for spinning ones would slow what is measured next."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
