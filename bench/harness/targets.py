"""The things we measure: how each is installed and started, and which wire format it speaks."""

import base64
import functools
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .processes import SERVER_CORE, Unavailable, answers_at, command, free_ports, says_listening

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent

# The code that is right, wherever a target lets us choose one. Not a row, so no rule for weak codes minds it.
CODE = "482915"


@dataclass
class Running:
    """A started target."""

    port: int
    key: str = ""
    # The service that the key is for, where paths name it.
    service: str = ""


@functools.cache
def target_directory(package):
    """Where cargo puts what it makes of a package, wherever it was told to."""
    manifest = package / "Cargo.toml"
    text = command(["cargo", "metadata", "--no-deps", "--format-version", "1", "--manifest-path", str(manifest)])
    return Path(json.loads(text)["target_directory"])


def profile(package):
    """What servers run is built as `dist`, and so is what is made of it. BENCH_PROFILE=debug: to try a program out; it says nothing of
    speed."""
    return os.environ.get("BENCH_PROFILE") or ("release" if package == BENCH / "load" else "dist")


def release_directory(package):
    """Where a package's binaries are."""
    return target_directory(package) / profile(package)


def build(package, *further):
    """A build that is measured."""
    name = {"debug": "dev"}.get(profile(package), profile(package))
    command(["cargo", "build", "--profile", name, "--locked", "--manifest-path", str(package / "Cargo.toml"), *further])


def install_node_modules(peer):
    """Exactly what the lock file says; nothing to do when that is already there, for one package takes long to compile."""
    directory = BENCH / "peers" / peer
    installed = directory / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= (directory / "package-lock.json").stat().st_mtime:
        return
    command(["npm", "ci", "--no-fund", "--no-audit"], directory=directory)


def require_node_modules(peer):
    """Fails with a reason when the peer was never installed."""
    if not (BENCH / "peers" / peer / "node_modules").is_dir():
        raise Unavailable("its packages are not installed")


class Ceiling:
    """The bare handler."""

    name, wire = "ceiling", "ceiling"

    def install(self):
        """Built together with the load generator."""

    def start(self, processes):
        (port,) = free_ports(1)
        program = release_directory(BENCH / "load") / "ceiling"
        processes.start([program, "--port", port], says_listening)
        return Running(port)


@dataclass
class Site:
    """A server of ours with its settings, not started yet."""

    program: Path
    config: Path
    port: int
    environment: dict

    def run(self, *arguments):
        """Another command of the program, to its end."""
        return command([str(self.program), *arguments, "--config", str(self.config)], self.config.parent, self.environment)

    def serve(self, processes, core=SERVER_CORE, seconds=30):
        """Starts it; its process id."""
        ready = answers_at(f"http://127.0.0.1:{self.port}/readyz")
        return processes.start([self.program, "serve", "--config", self.config], ready, self.environment, core=core, seconds=seconds)


class Countersign:
    """This project's server, as `countersign.toml` says."""

    name, wire = "countersign", "countersign"
    # Of the client that is made for the load.
    options = ()

    def install(self):
        build(ROOT)

    def site(self, processes, further="", environment=None):
        """Settings, with a directory of their own."""
        program = release_directory(ROOT) / "countersign"
        if not program.is_file():
            raise Unavailable("it is not built")
        port, admin_port = free_ports(2)
        directory = processes.directory / f"countersign-{port}"
        (directory / "data").mkdir(parents=True)
        config = directory / "countersign.toml"
        template = (BENCH / "countersign.toml").read_text()
        config.write_text(template.replace("@DATA_DIR@", str(directory / "data")).replace("@ADMIN_PORT@", str(admin_port)) + further)
        return Site(program, config, port, {"PORT": str(port), **(environment or {})})

    def start(self, processes, provider=""):
        site = self.site(processes, provider)
        created = site.run("client", "create", "--json", *self.options)
        site.serve(processes)
        return self.running(site.port, json.loads(created))

    def running(self, port, client):
        return Running(port, client["key"])


class CountersignTwilio(Countersign):
    """The same server, asked as Twilio's SDKs ask."""

    name, wire = "countersign-twilio", "twilio"
    options = ("--twilio",)

    def running(self, port, client):
        pair = f"{client['account_sid']}:{client['auth_token']}"
        return Running(port, base64.b64encode(pair.encode()).decode(), client["service_sid"])


class ExpressRedis:
    """Express and Redis, which shares the server's core: both are the price of an answer."""

    name, wire = "express-redis", "express"

    def install(self):
        if not shutil.which("redis-server"):
            command(["apt-get", "install", "-y", "--no-install-recommends", "redis-server"],
                    environment={"DEBIAN_FRONTEND": "noninteractive"})
        install_node_modules(self.name)

    def start(self, processes):
        require_node_modules(self.name)
        if not shutil.which("redis-server"):
            raise Unavailable("redis-server is not installed")
        port, redis_port = free_ports(2)
        # Nothing is ever saved to disk: the fastest that Redis can be, and codes are lost with it.
        processes.start(
            ["redis-server", "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            lambda text: "Ready to accept connections" in text,
        )
        processes.start(
            ["node", "server.js"], says_listening,
            {"NODE_ENV": "production", "PORT": str(port), "FIXED_CODE": CODE,
             "REDIS_URL": f"redis://127.0.0.1:{redis_port}"},
            BENCH / "peers" / self.name,
        )
        return Running(port)


class BetterAuth:
    """better-auth with its phone-number plugin on SQLite."""

    name, wire = "better-auth", "better-auth"

    def install(self):
        install_node_modules(self.name)

    def start(self, processes):
        require_node_modules(self.name)
        (port,) = free_ports(1)
        processes.start(
            ["node", "server.js"], says_listening,
            {"NODE_ENV": "production", "PORT": str(port),
             "DATABASE_FILE": str(processes.directory / "better-auth.sqlite")},
            BENCH / "peers" / self.name,
        )
        return Running(port)


TARGETS = [Ceiling(), Countersign(), CountersignTwilio(), ExpressRedis(), BetterAuth()]
PEERS = [ExpressRedis.name, BetterAuth.name]
