"""What the tests in Python share: the server under test, from its start to its end, and what Schemathesis wrote of a run."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading


@contextlib.contextmanager
def process(command, environment, directory, pattern, log, stream):
    """A child that says where it listens; ends when the block does, and must end well."""
    child = subprocess.Popen(
        command, env=environment, cwd=directory, text=True,
        stdout=subprocess.PIPE if stream == "stdout" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if stream == "stderr" else subprocess.DEVNULL,
    )
    found, place = threading.Event(), []

    def read():
        with log.open("w") as out:
            for line in getattr(child, stream):
                out.write(line)
                out.flush()
                if not place and (match := re.search(pattern, line)):
                    place.append(match[1])
                    found.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        if not found.wait(timeout=60):
            sys.exit(f"it did not say where it listens: {log}")
        yield place[0]
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
    if child.returncode != 0:
        sys.exit(f"{command[0]} ended with {child.returncode}: {log}")
    if panics := [line for line in log.read_text().splitlines() if "panicked" in line]:
        sys.exit(f"the server's log has: {panics[0]}")


@contextlib.contextmanager
def server(binary, config, log, create, more=None):
    """The server's address, and what `client create` with these options answered."""
    with tempfile.TemporaryDirectory(prefix="countersign-test-") as directory:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("COUNTERSIGN_", "TWILIO_"))}
        environment |= {"COUNTERSIGN_DATA_DIR": f"{directory}/data", **(more or {})}
        command = [str(binary.resolve()), "--config", str(config)]
        make = [*command, "client", "create", "--json", *create]
        made = subprocess.run(make, env=environment, cwd=directory, capture_output=True, text=True, timeout=60)
        if made.returncode != 0:
            sys.exit(f"no client could be made: {made.stderr}")
        with process([*command, "serve"], environment, directory, r'"url":"([^"]+)"', log, "stderr") as url:
            yield url, json.loads(made.stdout)


def answers(events):
    """How often each operation got which status, from Schemathesis' report in NDJSON: {"POST /path": {201: 3}}."""
    counts = {}
    for line in events.open():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for case_id, interaction in recorder.get("interactions", {}).items():
            case, response = recorder["cases"].get(case_id), interaction.get("response")
            if case and response:
                operation = counts.setdefault(f"{case['value']['method'].upper()} {case['value']['path']}", {})
                operation[response["status_code"]] = operation.get(response["status_code"], 0) + 1
    return counts


def never_good(counts, operations):
    """Those of the operations that never answered 2xx."""
    return [operation for operation in operations if not any(200 <= status < 300 for status in counts.get(operation, {}))]
