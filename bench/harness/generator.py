"""Runs of the load generator."""

import json
import os
import subprocess

from .processes import LOAD_CORE, QUIET, Unavailable, last_words
from .targets import BENCH, CODE, release_directory

WARM_UP = 2

# Each scenario has its own range of phone numbers, so that no start meets another's limits.
OFFSETS = {"start": 0, "check-wrong": 30_000_000, "pairs": 60_000_000}
SECOND_TRY_OFFSET = 15_000_000


def begin(wire, running, scenario, seconds, servers=(), prepare=0, offset=None, connections=64):
    """Starts one, and waits for nothing."""
    arguments = [
        "taskset", "-c", LOAD_CORE, release_directory(BENCH / "load") / "load", "--target", wire, "--scenario", scenario,
        "--port", running.port, "--seconds", seconds, "--warm-up", WARM_UP, "--prepare", prepare,
        "--offset", OFFSETS[scenario] if offset is None else offset, "--code", CODE, "--connections", connections,
    ]
    if running.service:
        arguments += ["--service", running.service]
    if servers:
        arguments += ["--server", ",".join(map(str, servers))]
    # The key goes by the environment: arguments can be read by everybody on the machine.
    environment = {**os.environ, **QUIET, **({"BENCH_KEY": running.key} if running.key else {})}
    return subprocess.Popen(list(map(str, arguments)), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process, what):
    """Waits for its report."""
    try:
        output, errors = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise Unavailable(f"{what}: {last_words(errors)}")
    report = json.loads(output)
    if not report["requests"]:
        raise Unavailable(f"{what}: nothing was complete within the time")
    return report


def load(target, running, scenario, seconds, servers, prepare, second_try=False, connections=64):
    """One run; once more, when what was prepared ran out early."""
    offset = OFFSETS[scenario] + second_try * SECOND_TRY_OFFSET
    report = finish(begin(target.wire, running, scenario, seconds, servers, prepare, offset, connections), scenario)
    if report["exhausted"] and report["seconds"] < seconds / 2 and not second_try:
        # What ran out during the warm-up left nothing to reckon with.
        enough = int(report["rps"] * 1.3 * (seconds + WARM_UP) / 4)
        prepare = max(enough, 2 * prepare) if report["seconds"] > 0.2 else 10 * prepare
        return load(target, running, scenario, seconds, servers, prepare, second_try=True, connections=connections)
    return report
