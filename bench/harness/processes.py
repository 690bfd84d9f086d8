"""Starts, watches and stops the processes of one target; nothing it started outlives it."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1

# The last line of a failure is shown as its reason: it must be the reason, and not the end of a stack trace.
QUIET = {"RUST_BACKTRACE": "0"}


class Unavailable(Exception):
    """A target cannot be measured here; the message says why."""


def free_ports(count):
    """Ports that are free now; held together until all are known, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def command(arguments, directory=None, environment=None):
    """Runs a command to its end; a failure becomes `Unavailable` with its last words."""
    try:
        done = subprocess.run(
            arguments, cwd=directory, env={**os.environ, **QUIET, **(environment or {})}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise Unavailable(f"{arguments[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise Unavailable(f"`{Path(arguments[0]).name} {arguments[1]}` failed: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def last_words(text):
    """The last line that says something, short enough for a table's footnote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def resident_mebibytes(processes):
    """Memory that the processes hold right now, together."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


class Processes:
    """Use as a context: on the way out, in whatever manner, all its processes are ended by their ids."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def start(self, arguments, ready, environment=None, directory=None, seconds=30, core=SERVER_CORE):
        """Starts a program, on the server's core unless another is named, and waits until `ready(log_text)` is true."""
        log_path = self.directory / f"{len(self.running)}.log"
        with log_path.open("w") as log:
            try:
                process = subprocess.Popen(
                    ["taskset", "-c", str(core), *map(str, arguments)],
                    cwd=directory or self.directory, env={**os.environ, **QUIET, **(environment or {})},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )
            except OSError as error:
                raise Unavailable(f"taskset: {error.strerror}") from error
        self.running.append((process, log_path))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            text = log_path.read_text(errors="replace")
            if process.poll() is not None:
                raise Unavailable(f"{Path(arguments[0]).name} stopped by itself: {last_words(text)}")
            if ready(text):
                return process.pid
            time.sleep(0.02)
        raise Unavailable(f"{Path(arguments[0]).name} was not ready after {seconds} s")

    def ids(self):
        """The process ids, for CPU time and memory."""
        return [process.pid for process, _ in self.running]


def says_listening(text):
    """Our yardsticks print one word when they are ready."""
    return "listening" in text


def answers_at(url):
    """A readiness test: a GET that is answered 200."""

    def ready(_):
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    return ready
