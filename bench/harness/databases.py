"""The servers that stores lie in, as `tests/databases/run` has started them: something empty in them, and what they count themselves."""

import os
import time
from urllib.parse import unquote, urlsplit

from .processes import command
from .rows import fill_redis, fill_sql

# What `tests/databases/run` says of the servers that it started.
URLS = {name: f"COUNTERSIGN_TEST_{name.upper()}_URL" for name in ("postgres", "mysql", "redis")}
PIDS = "COUNTERSIGN_TEST_SERVERS"


class Postgres:
    """A database of its own in PostgreSQL."""

    title, dialect = "PostgreSQL", "postgres"

    def __init__(self, url, pid):
        self.server, self.pid, self.name = url, pid, None
        # It counts statements only where it was told to; without that they stay unknown.
        self.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def ask(self, *statements, url=None):
        arguments = [part for statement in statements for part in ("-c", statement)]
        return command(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *arguments, url or self.server])

    def create(self, name):
        """A database of that name, and its URL."""
        self.ask(f"CREATE DATABASE {name}")
        self.name = name
        return self.url()

    def drop(self):
        self.ask(f"DROP DATABASE {self.name} WITH (FORCE)")

    def fill(self, count, has_redis):
        fill_sql(self.dialect, lambda *statements: self.ask(*statements, url=self.url()), count, has_redis)
        self.ask("VACUUM ANALYZE", "CHECKPOINT", url=self.url())

    def url(self):
        return f"{self.server.rpartition('/')[0]}/{self.name}"

    def size(self):
        return int(self.ask(f"SELECT pg_database_size('{self.name}')"))

    def count(self):
        """Transactions, and statements that each were a round trip: what begins a batch is four of them in one."""
        transactions = f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{self.name}'"
        statements = (
            "SELECT COALESCE(SUM(calls), 0) FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid "
            f"WHERE datname = '{self.name}' AND query NOT LIKE 'SET LOCAL%'"
        )
        found = self.ask(transactions, statements).split()
        return {"transactions": int(found[0]), "round trips": int(found[1])}


class MariaDb:
    """A database of its own in MariaDB."""

    title, dialect = "MariaDB", "mysql"

    def __init__(self, url, pid):
        self.server, self.pid, self.name = urlsplit(url), pid, None
        self.ask("SET GLOBAL innodb_monitor_enable = 'trx_rw_commits'")

    def ask(self, *statements, database=""):
        server = self.server
        where = ["-h", server.hostname, "-P", str(server.port), "-u", server.username]
        arguments = ["mariadb", "--no-defaults", "--protocol=tcp", "-NB", *where, "-e", "; ".join(statements), database]
        return command(arguments, environment={"MYSQL_PWD": unquote(server.password)})

    def create(self, name):
        """A database of that name, and its URL."""
        self.ask(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.name = name
        return self.server._replace(path=f"/{name}").geturl()

    def drop(self):
        self.ask(f"DROP DATABASE {self.name}")

    def fill(self, count, has_redis):
        # While rows are made, none of them needs to be on the disk.
        self.ask("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        try:
            fill_sql(self.dialect, lambda *statements: self.ask(*statements, database=self.name), count, has_redis)
            self.ask("ANALYZE TABLE verification, event, bucket, kept_failure", database=self.name)
        finally:
            self.ask("SET GLOBAL innodb_flush_log_at_trx_commit = 1")

    def size(self):
        return int(self.ask(f"SELECT SUM(data_length + index_length) FROM information_schema.TABLES WHERE table_schema = '{self.name}'"))

    def count(self):
        """Transactions that changed something, and statements."""
        found = self.ask(
            "SELECT count FROM information_schema.INNODB_METRICS WHERE name = 'trx_rw_commits'",
            "SELECT variable_value FROM information_schema.GLOBAL_STATUS WHERE variable_name = 'questions'",
        ).split()
        return {"transactions": int(found[0]), "round trips": int(found[1])}


class Redis:
    """A whole Redis: it is emptied."""

    title = "Redis"

    def __init__(self, url, pid):
        self.url, self.pid, self.port = url, pid, str(urlsplit(url).port)

    def ask(self, *words):
        return command(["redis-cli", "-e", "-p", self.port, *map(str, words)])

    def empty(self):
        """Nothing in it, and nothing in its log of appends."""
        self.ask("CONFIG", "SET", "appendonly", "no")
        self.ask("FLUSHALL")
        self.append()

    def append(self):
        """Logs appends from now on, once what is there is written."""
        self.ask("CONFIG", "SET", "appendonly", "yes")
        while any(f"{busy}:1" in self.ask("INFO", "persistence") for busy in ("aof_rewrite_in_progress", "aof_rewrite_scheduled")):
            time.sleep(0.1)

    def fill(self, count):
        self.ask("CONFIG", "SET", "appendonly", "no")
        fill_redis(self.ask, count)
        self.append()

    def size(self):
        return int(self.ask("INFO", "memory").partition("used_memory:")[2].split()[0])

    def count(self):
        """Scripts that somebody ran: each is a round trip."""
        scripts = 0
        for line in self.ask("INFO", "commandstats").splitlines():
            if line.startswith(("cmdstat_eval:", "cmdstat_evalsha:")):
                scripts += int(line.partition("calls=")[2].partition(",")[0])
        return {"scripts": scripts}


def servers():
    """Those that run: PostgreSQL, MariaDB, Redis. What names them leaves the environment, for the server would take it for settings."""
    pids = os.environ.pop(PIDS).split()
    urls = {name: os.environ.pop(variable) for name, variable in URLS.items()}
    os.environ.pop("MARIADB_URL", None)
    maria, postgres, redis = map(int, pids)
    return Postgres(urls["postgres"], postgres), MariaDb(urls["mysql"], maria), Redis(urls["redis"], redis)


def running():
    """Whether `tests/databases/run` has started them for us."""
    return PIDS in os.environ
