"""What the queue between a start and a provider does: how much passes it, and what a start feels of a provider that hangs."""

import tempfile
import time
import urllib.request

from .processes import LOAD_CORE, Processes, says_listening
from .targets import BENCH, Countersign, free_ports, release_directory

# So few connections that the store is not the limit: what is left is what the provider does to a start.
CONNECTIONS = 4
P99_RATIO = 1.2

SECTION = """
[provider.loopback]
type = "twilio"
account_sid = "AC00000000000000000000000000000000"
auth_token = "not a secret"
from = "+15005550006"
base_url = "http://127.0.0.1:@PORT@"
"""


def taken(port):
    """Messages that the provider has had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=5) as answer:
        return int(answer.read())


def measure(load, seconds):
    """Three runs on fresh servers. `load(target, running, seconds, processes, connections)` returns a report."""
    return {
        "through": run(load, seconds, connections=64),
        "healthy": run(load, seconds, connections=CONNECTIONS),
        "hanging": run(load, seconds, connections=CONNECTIONS, hang=True),
    }


def run(load, seconds, connections, hang=False):
    """One load of starts; for a provider that answers, until the last message is out."""
    target = Countersign()
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory, Processes(directory) as processes:
        (port,) = free_ports(1)
        provider = release_directory(BENCH / "load") / "provider"
        arguments = [provider, "--port", port] + (["--hang"] if hang else [])
        processes.start(arguments, says_listening, core=LOAD_CORE)
        running = target.start(processes, SECTION.replace("@PORT@", str(port)))
        began = time.monotonic()
        report = load(target, running, seconds, processes.ids(), connections)
        report["messages"], last = taken(port), time.monotonic()
        while not hang and time.monotonic() < last + 1:
            time.sleep(0.1)
            if (count := taken(port)) > report["messages"]:
                report["messages"], last = count, time.monotonic()
        report["sends"] = report["messages"] / (last - began)
        return report


def lines(figures):
    """The figures as a reader wants them."""
    through, healthy, hanging = figures["through"], figures["healthy"], figures["hanging"]
    yield (f"through the queue to a provider on loopback: {through['sends']:,.0f} messages/s "
           f"({through['messages']:,} of {through['answers']:,} starts that counted and their warm-up)")
    ratio = hanging["p99_ms"] / healthy["p99_ms"]
    verdict = "met" if ratio <= P99_RATIO else "**missed**"
    yield (f"start p99 at {CONNECTIONS} connections: {healthy['p99_ms']:.2f} ms with a healthy provider, {hanging['p99_ms']:.2f} ms "
           f"with one that hangs: ratio {ratio:.2f} (goal ≤ {P99_RATIO}): {verdict}; "
           f"{healthy['rps']:,.0f} and {hanging['rps']:,.0f} starts/s")
