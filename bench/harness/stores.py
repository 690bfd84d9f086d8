"""The stores that a server can have, and what `bench/stores` measures on each: directly and through HTTP, with many rows, with many
replicas."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .generator import WARM_UP, begin, finish
from .processes import LOAD_CORE, QUIET, SERVER_CORE, Processes, Unavailable
from .rows import fill_file
from .targets import ROOT, Ceiling, Countersign, Running, release_directory
from .watch import move, watch

# 32 bytes that are no secret: the pepper that all replicas share.
PEPPER = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
# Requests of which the mean is taken where one task asks alone.
LONE = 200
# So few connections to each replica that no core is full: what is left is how much they are in each other's way.
HELD_BACK = 2
# From one generator's phone numbers to the next one's.
APART = 10_000_000
# What one row takes, in bytes, with its indexes and with what a server needs besides.
ON_DISK, IN_REDIS = 2_500, 2_000
# A server with much to bring back into Redis is not ready at once.
READY_WITHIN = 300

numbers = itertools.count(1)


@dataclass
class Combination:
    """A kind of store."""

    name: str
    title: str
    # How it can be driven directly. The goal is a share of the first.
    ways: list
    sql: object = None
    redis: object = None

    @contextlib.contextmanager
    def fresh(self):
        """The same with nothing in it, until the end of the context."""
        with tempfile.TemporaryDirectory(prefix="countersign-stores-") as directory, contextlib.ExitStack() as undone:
            environment = {"COUNTERSIGN_SECRETS__PEPPER": PEPPER}
            if self.sql:
                environment["DATABASE_URL"] = self.sql.create(f"stores_{next(numbers)}")
                undone.callback(self.sql.drop)
            if self.redis:
                self.redis.empty()
                environment["REDIS_URL"] = self.redis.url
            # Ended before the database goes.
            processes = undone.enter_context(Processes(directory))
            yield Place(self, processes, environment)


@dataclass
class Place:
    """A store with nothing in it."""

    combination: Combination
    processes: Processes
    environment: dict

    def servers(self):
        return [server for server in (self.combination.sql, self.combination.redis) if server]

    def groups(self):
        """The servers' processes."""
        return {server.title: [server.pid] for server in self.servers()}

    def count(self):
        """What the servers have counted."""
        return {name: value for server in self.servers() for name, value in server.count().items()}

    def site(self):
        """One more server on it, not started yet."""
        return Countersign().site(self.processes, environment=self.environment)

    def fill(self, site, count):
        """Puts so many rows into it, and says how many bytes one takes where."""
        site.run("migrate")
        file = site.config.parent / "data" / "countersign.db"

        def sizes():
            return {server.title: server.size() for server in self.servers()} or {"file": file.stat().st_size}

        combination, before = self.combination, sizes()
        if combination.sql:
            require(shutil.disk_usage(tempfile.gettempdir()).free, count * ON_DISK, "disk")
            combination.sql.fill(count, combination.redis is not None)
        if combination.redis:
            require(free_memory(), count * IN_REDIS, "memory")
            combination.redis.fill(count)
        if not combination.sql:
            fill_file(file, count)
        return {where: (size - before[where]) / count for where, size in sizes().items()}


def require(free, needed, what):
    if free < needed:
        raise Unavailable(f"{needed / 1e9:.0f} GB of {what} are needed, {free / 1e9:.0f} are free")


def free_memory():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


# --- Directly ---------------------------------------------------------------------------------------------------------


def direct(place, *arguments):
    """Begins to drive a store on the server's core, and waits for nothing."""
    # In the server's target directory: it is made of the server.
    program = release_directory(ROOT) / "direct"
    where = [] if place.combination.sql else ["--file", place.processes.directory / "direct.db"]
    words = ["taskset", "-c", SERVER_CORE, program, *where, *arguments]
    environment = {**os.environ, **QUIET, **place.environment}
    return subprocess.Popen(list(map(str, words)), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def drive(place, way, seconds):
    """Pairs as fast as a store takes them from 64 tasks."""
    # The tables are made before.
    finish(direct(place, "--count", 1, "--offset", 99 * APART // 10), "directly")
    driver = direct(place, "--way", way, "--seconds", seconds, "--warm-up", WARM_UP)
    seen = watch({"driver": [driver.pid], **place.groups()}, place.count, seconds)
    return {**finish(driver, "directly"), **seen}


def alone(place):
    """What one request costs the servers while nobody else asks, by their own counters."""
    if not place.combination.sql:
        return {}
    costs, offset = {}, 0
    for scenario in ("start", "wrong", "pairs"):
        totals = []
        # The first run makes tables, the second shows what a run costs in which nearly nothing is asked.
        for count in (1, 1, 1 + LONE):
            before = place.count()
            finish(direct(place, "--tasks", 1, "--count", count, "--scenario", scenario, "--offset", offset), "directly")
            offset += count
            # PostgreSQL tells what a connection did once that has ended.
            time.sleep(0.5)
            totals.append({name: value - before[name] for name, value in place.count().items()})
        costs[scenario] = {name: (value - totals[1][name]) / LONE for name, value in totals[2].items()}
    start = costs["start"]
    less = {scenario: {name: value - start[name] for name, value in costs[scenario].items()} for scenario in ("wrong", "pairs")}
    return {"start": start, "wrong check": less["wrong"], "right check": less["pairs"]}


# --- Through HTTP -----------------------------------------------------------------------------------------------------


def ceiling(seconds):
    """The bare handlers, which have no store."""
    with tempfile.TemporaryDirectory(prefix="countersign-stores-") as directory, Processes(directory) as processes:
        target = Ceiling()
        running = target.start(processes)
        generator = begin(target.wire, running, "pairs", seconds)
        seen = watch({"server": processes.ids(), "generator": [generator.pid]}, dict, seconds)
        return {**finish(generator, "ceiling"), **seen}


def serve(place, sites, seconds, connections=64, core=SERVER_CORE):
    """Pairs through servers, each with its own generator."""
    key = json.loads(sites[0].run("client", "create", "--json"))["key"]
    servers = [site.serve(place.processes, core, READY_WITHIN) for site in sites]
    generators = [
        begin("countersign", Running(site.port, key), "pairs", seconds, offset=50_000_000 + number * APART, connections=connections)
        for number, site in enumerate(sites)
    ]
    groups = {"server": servers, "generator": [generator.pid for generator in generators], **place.groups()}
    seen = watch(groups, place.count, seconds)
    return {**together([finish(generator, "through HTTP") for generator in generators]), **seen, "connections": connections}


def together(reports):
    """Many generators as one: the rate of all, the latencies of the slowest."""
    return {
        **{name: sum(report[name] for report in reports) for name in ("rps", "answers", "errors")},
        **{name: max(report[name] for report in reports) for name in ("p50_ms", "p99_ms")},
        "errors_by_kind": [report["errors_by_kind"] for report in reports if report["errors"]],
    }


# --- The parts --------------------------------------------------------------------------------------------------------


def speed(combination, seconds):
    """Directly in each way, and through HTTP; and what one request costs by itself."""
    with combination.fresh() as place:
        lone = alone(place)
    ways = {}
    for way in combination.ways:
        with combination.fresh() as place:
            ways[way] = drive(place, way, seconds)
    with combination.fresh() as place:
        return {"alone": lone, "ways": ways, "http": serve(place, [place.site()], seconds)}


def rows(combination, count, seconds):
    """Through HTTP, with so many rows in the store."""
    with combination.fresh() as place:
        site, began = place.site(), time.monotonic()
        filled = {"bytes": place.fill(site, count), "filled_in": time.monotonic() - began}
        return {**filled, **serve(place, [site], seconds)}


def replicas(combination, count, seconds):
    """Through HTTP, to so many servers; at full load, and held back. Nobody has a core of their own."""
    cores = set(range(os.cpu_count() or 1))
    servers = [server.pid for server in (combination.sql, combination.redis) if server]
    move(servers, cores)
    try:
        figures = {}
        for load, connections in (("full", 64), ("held back", HELD_BACK)):
            with combination.fresh() as place:
                sites = [place.site() for _ in range(count)]
                figures[load] = serve(place, sites, seconds, connections, ",".join(map(str, sorted(cores))))
        return figures
    finally:
        move(servers, {LOAD_CORE})
