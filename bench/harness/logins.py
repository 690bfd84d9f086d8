"""What sign-ins cost: how many go through beside the bare cost of their hashes, and what a start feels of a storm of them."""

import http.client
import itertools
import json
import os
import tempfile
import threading
import time

from .processes import LOAD_CORE, SERVER_CORE, Processes, Unavailable, command
from .targets import BENCH, Countersign, release_directory

PASSWORD = "a long way to Tipperary"
PEOPLE_AT_ONCE = 8
STORM = 32
# So few connections that starts leave the core idle: what is left is what the storm does to them.
CONNECTIONS = 4
SHARE = 0.9
P99_RATIO = 1.2

SECTION = """
[accounts]
enabled = true

[accounts.limits]
ip_sign_ins = "1000000000/1h"
sign_in_failures = "1000000000/1h"
account_failures = "1000000000/1h"
ip_registrations = "1000000000/1h"
"""


class Person:
    """Somebody with an account of their own, and a connection."""

    def __init__(self, port, number):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.phone = f"+49170{number:08d}"
        self.email = f"person{number}@example.com"

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def expect(self, status, *call):
        found, body = self.call(*call)
        if found != status:
            raise Unavailable(f"{call[1]} answered {found}: {body}")
        return body

    def register(self):
        self.expect(201, "POST", "/auth/register", {"email": self.email, "password": PASSWORD, "phone": self.phone})

    def sign_in(self):
        """The whole way, from the password to the token."""
        self.expect(200, "POST", "/auth/login", {"email": self.email, "password": PASSWORD})
        to = self.phone.replace("+", "%2B")
        while not (messages := self.expect(200, "GET", f"/dev/inbox.json?to={to}&limit=1")):
            time.sleep(0.001)
        return self.expect(200, "POST", "/auth/verify-otp", {"email": self.email, "code": messages[0]["code"]})["token"]

    def guess(self):
        """A wrong password: as much work as a right one."""
        return self.call("POST", "/auth/login", {"email": self.email, "password": "not the password"})[0]


def ceiling(seconds):
    """Hashes a second on the server's core, with nothing around them."""
    program = release_directory(BENCH / "load") / "argon2"
    return float(command(["taskset", "-c", str(SERVER_CORE), str(program), "--seconds", str(seconds)]))


def together(count, work):
    """So many threads at once; the first failure is everybody's."""
    failures = []

    def run(index):
        try:
            work(index)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def measure(load, seconds):
    """`load(target, running, seconds, processes, connections)` returns a report of starts."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    try:
        bare = ceiling(seconds)
        return {"bare": bare, "whole": whole(seconds, bare), "quiet": starts(load, seconds), "storm": starts(load, seconds, True)}
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def whole(seconds, bare):
    """Whole sign-ins a second: each person once, because a number gets few messages."""
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory, Processes(directory) as processes:
        running = Countersign().start(processes, SECTION)
        count = int(bare * seconds) + PEOPLE_AT_ONCE
        people = [Person(running.port, number) for number in range(count)]
        together(PEOPLE_AT_ONCE, lambda index: [person.register() for person in people[index::PEOPLE_AT_ONCE]])
        began = time.monotonic()
        together(PEOPLE_AT_ONCE, lambda index: [person.sign_in() for person in people[index::PEOPLE_AT_ONCE]])
        return count / (time.monotonic() - began)


def starts(load, seconds, storm=False):
    """Starts at a few connections, with a storm of wrong passwords beside them or without."""
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory, Processes(directory) as processes:
        target = Countersign()
        running = target.start(processes, SECTION)
        Person(running.port, 0).register()
        done, answered = threading.Event(), itertools.count()

        def guess(index):
            person = Person(running.port, index % 2)
            while not done.is_set():
                if person.guess() != 401:
                    raise Unavailable("a wrong password was not refused")
                next(answered)

        guessing = threading.Thread(target=together, args=(STORM, guess), daemon=True)
        if storm:
            guessing.start()
            time.sleep(1)
        report = load(target, running, seconds, processes.ids(), CONNECTIONS)
        done.set()
        if storm:
            guessing.join(60)
        report["guesses"] = next(answered)
        return report


def lines(figures):
    """The figures as a reader wants them."""
    def verdict(met):
        return "met" if met else "**missed**"

    share = figures["whole"] / figures["bare"]
    yield (f"whole sign-ins (password, code, token): {figures['whole']:.1f}/s beside {figures['bare']:.1f}/s bare Argon2id on the same "
           f"core: {share:.0%} (goal ≥ {SHARE:.0%}): {verdict(share >= SHARE)}")
    quiet, storm = figures["quiet"], figures["storm"]
    ratio = storm["p99_ms"] / quiet["p99_ms"]
    yield (f"start p99 at {CONNECTIONS} connections: {quiet['p99_ms']:.2f} ms, and {storm['p99_ms']:.2f} ms while {STORM} clients try "
           f"passwords: ratio {ratio:.2f} (goal ≤ {P99_RATIO}): {verdict(ratio <= P99_RATIO)}; {storm['guesses']:,} passwords tried; "
           f"{quiet['rps']:,.0f} and {storm['rps']:,.0f} starts/s")
