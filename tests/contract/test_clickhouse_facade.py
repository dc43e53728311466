"""The embedded engine answers unmodified ClickHouse clients, and limits what a request may do."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import clickhouse_connect
import httpx
import lz4.frame
import pytest
from backports import zstd
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from fixtures_http import http_client

from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.clock import random_text

BODY_LIMIT = 16 * 1024 * 1024
SCHEMA = 'syntax = "proto3"; message Fact { fixed64 n = 1; string name = 2; map<string, string> tags = 3; }'


def fact(number: int) -> bytes:
    """One framed element of a batch."""
    event = b"\x09" + number.to_bytes(8, "little") + b"\x12\x02ab" + b"\x1a\x06\x0a\x01k\x12\x01v"
    return b"\x0a" + bytes([len(event)]) + event


def protobuf_list(payload: bytes) -> bytes:
    """The envelope of ProtobufList; only short payloads."""
    length = len(payload)
    return bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14]) + payload


def options(server: ClickHouse) -> dict[str, Any]:
    """What `clickhouse_connect` wants to know."""
    target = urlsplit(server.url)
    return {"host": target.hostname, "port": target.port, "username": "default", "password": target.password}


@pytest.fixture
def client(clickhouse_server: ClickHouse) -> Iterator[Any]:
    """The unmodified synchronous client."""
    with clickhouse_connect.get_client(**options(clickhouse_server)) as connected:
        yield connected


@pytest.fixture
def table(client: Any) -> Iterator[str]:
    """An empty table (n UInt64, name String, tags Map)."""
    name = f"facts_{random_text(8)}"
    client.command(
        f"CREATE TABLE {name} (n UInt64, name String, tags Map(String, String)) ENGINE = MergeTree ORDER BY n"
    )
    yield name
    client.command(f"DROP TABLE {name}")


@pytest.fixture
async def http(clickhouse_server: ClickHouse) -> AsyncIterator[httpx.AsyncClient]:
    """A bare HTTP client that knows the password."""
    password = urlsplit(clickhouse_server.url).password or ""
    headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password}
    async with http_client(base_url=f"http://127.0.0.1:{clickhouse_server.port}", headers=headers) as bare:
        yield bare


def code_of(answer: httpx.Response) -> int:
    """ClickHouse's number for what went wrong; 0 when nothing did."""
    return int(answer.headers.get("X-ClickHouse-Exception-Code", 0))


def test_rows_go_in_and_come_out_typed(client: Any) -> None:
    client.command(
        "CREATE TABLE typed (id UUID, at DateTime64(6), n Nullable(Int32)) ENGINE = MergeTree ORDER BY id"
    )
    one = uuid4()
    assert client.insert("typed", [(one, 0, None)], column_names=["id", "at", "n"]).written_rows == 1
    assert client.query("SELECT id, n FROM typed").result_rows == [(one, None)]
    client.command("DROP TABLE typed")


def test_parameters_are_bound_by_the_server(client: Any) -> None:
    given = {"a": uuid4(), "b": "it's \\ \t \n x' OR 1=1 --", "c": [1, 2]}
    row = client.query("SELECT {a:UUID}, {b:String}, {c:Array(UInt8)}", parameters=given).first_row
    assert row == (given["a"], given["b"], given["c"])


def test_large_parameters_that_come_as_a_form_arrive(client: Any) -> None:
    text = random_text(50_000)
    assert client.query("SELECT {t:String}", parameters={"t": text}).first_row == (text,)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM nowhere", 60),
        ("SELEC 1", 62),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT 'unterminated", 62),
        ("SELECT nothing", 47),
        ("SELECT {missing:String}", 456),
        ("SET max_threads = 1", 48),
        ("USE system", 48),
        ("CREATE TEMPORARY TABLE t (a Int8)", 48),
        ("SELECT throwIf(1)", 395),
        ("", 62),
    ],
)
async def test_an_error_has_the_number_of_a_real_server(http: httpx.AsyncClient, sql: str, code: int) -> None:
    answer = await http.post("/", content=sql)
    assert code_of(answer) == code
    assert answer.status_code >= 400
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_the_client_sees_the_number_too(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nowhere")
    assert caught.value.code == 60


def test_a_setting_lasts_for_one_request(client: Any) -> None:
    asked = "SELECT getSetting('max_threads'), currentDatabase()"
    usual = client.query(asked).first_row
    assert client.query(asked, settings={"max_threads": 1}).first_row[0] == 1
    assert all(client.query(asked).first_row == usual for _ in range(8))


@pytest.mark.parametrize(
    "name", ["format_schema_path", "custom_x", "max_threads=1,b", "a b", "profile", "log_queries"]
)
async def test_a_setting_that_is_not_listed_is_refused(http: httpx.AsyncClient, name: str) -> None:
    assert code_of(await http.post("/", params={name: "1"}, content="SELECT 1")) == 452


@pytest.mark.parametrize("value", ["' , max_memory_usage = '0", "1'; SELECT 1 --", "\\"])
async def test_a_settings_value_stays_a_value(http: httpx.AsyncClient, value: str) -> None:
    answer = await http.post(
        "/", params={"log_comment": value}, content="SELECT getSetting('log_comment') FORMAT RawBLOB"
    )
    assert (answer.status_code, answer.text) == (200, value)


async def test_limits_can_be_lowered_but_not_raised(http: httpx.AsyncClient) -> None:
    asked = "SELECT getSetting('max_execution_time')"
    usual = int((await http.post("/", content=asked)).text)
    assert int((await http.post("/", params={"max_execution_time": "3"}, content=asked)).text) == 3
    for more in ("0", "999999"):
        assert int((await http.post("/", params={"max_execution_time": more}, content=asked)).text) == usual
    assert code_of(await http.post("/", params={"max_execution_time": "-1"}, content=asked)) == 452


async def test_a_slow_query_is_stopped(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/", params={"max_execution_time": "1"}, content="SELECT sleepEachRow(1) FROM numbers(3) FORMAT Null"
    )
    assert code_of(answer) == 159


async def test_a_read_only_request_can_not_write(http: httpx.AsyncClient) -> None:
    assert code_of(await http.post("/", params={"readonly": "2"}, content="DROP TABLE t")) == 164
    assert (await http.post("/", params={"readonly": "2"}, content="SELECT 1")).text == "1\n"


@pytest.mark.parametrize(
    "credential", [{"X-ClickHouse-Key": "wrong"}, {"X-ClickHouse-Key": ""}, {"Authorization": "Basic !"}]
)
async def test_a_wrong_password_is_refused(http: httpx.AsyncClient, credential: dict[str, str]) -> None:
    answer = await http.post("/", content="SELECT 1", headers=credential)
    assert (answer.status_code, code_of(answer)) == (403, 516)


async def test_a_body_over_the_limit_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/", content=bytes(BODY_LIMIT + 1))
    assert (answer.status_code, code_of(answer)) == (413, 307)


async def test_a_body_that_unpacks_to_too_much_is_refused(http: httpx.AsyncClient) -> None:
    bomb = zstd.compress(bytes(BODY_LIMIT + 1))
    answer = await http.post("/", content=bomb, headers={"Content-Encoding": "zstd"})
    assert (answer.status_code, code_of(answer)) == (413, 307)


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd", "br"])
async def test_a_broken_compressed_body_is_refused(http: httpx.AsyncClient, encoding: str) -> None:
    answer = await http.post("/", content=b"SELECT 1", headers={"Content-Encoding": encoding})
    assert code_of(answer) == 432


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_compressed_inserts_arrive(clickhouse_server: ClickHouse, table: str, compress: str | bool) -> None:
    with clickhouse_connect.get_client(**options(clickhouse_server), compress=compress) as compressing:
        compressing.insert(table, [(n, "a", {}) for n in range(1000)], column_names=["n", "name", "tags"])
        assert compressing.query(f"SELECT count() FROM {table}").first_row == (1000,)


async def test_an_lz4_frame_of_sql_is_understood(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/", content=lz4.frame.compress(b"SELECT 7"), headers={"Content-Encoding": "lz4"}
    )
    assert answer.text == "7\n"


def test_a_batch_of_protobuf_is_inserted_by_a_schema_in_a_setting(client: Any, table: str) -> None:
    settings = {
        "format_schema_source": "string",
        "format_schema": SCHEMA,
        "format_schema_message_name": "Fact",
    }
    payload = protobuf_list(b"".join(fact(n) for n in range(1000)))
    written = client.raw_insert(
        table, insert_block=payload, fmt="ProtobufList", settings=settings
    ).written_rows
    assert written == 1000
    assert client.query(f"SELECT sum(n), any(name), any(tags) FROM {table}").first_row == (
        499500,
        "ab",
        {"k": "v"},
    )


def test_a_batch_of_protobuf_is_inserted_by_a_schema_file(
    client: Any, table: str, clickhouse_server: ClickHouse
) -> None:
    (clickhouse_server.schemas / "fact.proto").write_text(SCHEMA)
    payload = protobuf_list(b"".join(fact(n) for n in range(1000)))
    client.raw_insert(
        table, insert_block=payload, fmt="ProtobufList", settings={"format_schema": "fact:Fact"}
    )
    assert client.query(f"SELECT count() FROM {table}").first_row == (1000,)


@pytest.mark.parametrize("name", ["../config:Fact", "/etc/passwd:x", "nothing:Fact", "fact", "..:x"])
async def test_a_schema_file_outside_its_directory_is_refused(http: httpx.AsyncClient, name: str) -> None:
    assert code_of(await http.post("/", params={"format_schema": name}, content="SELECT 1")) == 36


@pytest.mark.parametrize("damage", ["truncated", "garbage in the middle", "wrong length"])
def test_a_corrupt_batch_is_refused_whole(client: Any, table: str, damage: str) -> None:
    settings = {
        "format_schema_source": "string",
        "format_schema": SCHEMA,
        "format_schema_message_name": "Fact",
    }
    good = protobuf_list(b"".join(fact(n) for n in range(1000)))
    middle = len(good) // 2
    bad = {
        "truncated": good[:-7],
        "garbage in the middle": good[:middle] + b"\xff" * 12 + good[middle + 12 :],
        "wrong length": good + b"\x05\x01",
    }[damage]
    with pytest.raises(DatabaseError):
        client.raw_insert(table, insert_block=bad, fmt="ProtobufList", settings=settings)
    assert client.query(f"SELECT count() FROM {table}").first_row == (0,)


def test_a_large_answer_comes_in_parts(client: Any) -> None:
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(700000)") as blocks:
        sizes = [len(block) for block in blocks]
    assert sum(sizes) == 700000
    assert len(sizes) > 1


def test_an_error_in_the_middle_of_a_large_answer_is_seen(client: Any) -> None:
    with pytest.raises(ClickHouseError, match="boom"):
        assert client.query(
            "SELECT throwIf(number = 690000, 'boom'), number FROM numbers(700000)"
        ).result_rows


def test_an_answer_left_half_read_does_not_block_the_next(client: Any) -> None:
    for _ in range(6):
        with client.query_row_block_stream("SELECT number FROM numbers(3000000)") as blocks:
            next(iter(blocks))
    assert client.command("SELECT 1") == 1


async def test_the_asynchronous_client_runs_many_at_once(clickhouse_server: ClickHouse) -> None:
    async with await clickhouse_connect.get_async_client(**options(clickhouse_server)) as many:
        asked = (many.query("SELECT {n:UInt8}", parameters={"n": n}) for n in range(40))
        answers = await asyncio.gather(*asked)
    assert [answer.result_rows for answer in answers] == [[(n,)] for n in range(40)]


async def test_rows_may_begin_with_white_space(http: httpx.AsyncClient, table: str) -> None:
    rows = (10).to_bytes(8, "little") + b"\x01a\x00"
    head = f"INSERT INTO {table} (n, name, tags) FORMAT RowBinary\n".encode()
    assert (await http.post("/", content=head + rows)).status_code == 200
    await http.post("/", params={"query": head.decode().rstrip()}, content=rows)
    assert (await http.post("/", content=f"SELECT sum(n), count() FROM {table}")).text == "20\t2\n"


async def test_an_insert_that_breaks_off_inserts_nothing(http: httpx.AsyncClient, table: str) -> None:
    async def rows() -> AsyncIterator[bytes]:
        yield f"INSERT INTO {table} (n) FORMAT TabSeparated\n".encode() + b"1\n" * 1000
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await http.post("/", content=rows())
    assert (await http.post("/", content=f"SELECT count() FROM {table}")).text == "0\n"


FULL = "min_free_disk_bytes_to_perform_insert = 1000000000000000"


async def test_rows_that_the_disk_has_no_room_for_are_refused(http: httpx.AsyncClient, table: str) -> None:
    """Behind a view too, and with the settings of the statement; nothing is acknowledged and forgotten."""
    door = f"door_{table}"
    await http.post("/", content=f"CREATE TABLE {door} (n UInt64) ENGINE = Null")
    await http.post("/", content=f"CREATE MATERIALIZED VIEW view_{table} TO {table} AS SELECT n FROM {door}")
    await http.post("/", content=f"ALTER TABLE {table} MODIFY SETTING {FULL}")
    for into in (f"{table} (n)", door, f"{table} (n) SETTINGS max_threads = 1"):
        answer = await http.post("/", content=f"INSERT INTO {into} FORMAT TabSeparated\n1\n")
        assert code_of(answer) == 243, into
    assert (await http.post("/", content=f"SELECT count() FROM {table}")).text == "0\n"
    await http.post("/", content=f"ALTER TABLE {table} RESET SETTING {FULL.split()[0]}")
    for into in (f"{table} (n)", door, f"{table} (n) SETTINGS max_threads = 1"):
        assert code_of(await http.post("/", content=f"INSERT INTO {into} FORMAT TabSeparated\n1\n")) == 0
    assert (await http.post("/", content=f"SELECT count() FROM {table}")).text == "3\n"
    for name in (f"view_{table}", door):
        await http.post("/", content=f"DROP TABLE {name}")


async def test_a_client_names_no_file_of_the_engines(http: httpx.AsyncClient, table: str) -> None:
    sql = f"INSERT INTO {table} (name) FROM INFILE '/etc/passwd' FORMAT LineAsString"
    assert code_of(await http.post("/", content=sql)) == 62
    assert (await http.post("/", content=f"SELECT count() FROM {table}")).text == "0\n"


async def test_values_and_selects_can_be_inserted(http: httpx.AsyncClient, table: str) -> None:
    for statement in (
        f"INSERT INTO {table} VALUES (1, 'a;b', {{}})",
        f"INSERT INTO {table} SELECT number, 'FORMAT Native', map() FROM numbers(3)",
    ):
        assert (await http.post("/", content=statement)).status_code == 200
    assert (await http.post("/", content=f"SELECT count() FROM {table}")).text == "4\n"


async def test_the_output_format_is_that_of_the_statement_or_of_the_request(http: httpx.AsyncClient) -> None:
    assert (await http.post("/", content="SELECT 1 AS a FORMAT JSONEachRow")).text == '{"a":1}\n'
    answer = await http.get("/", params={"query": "SELECT 1 AS a", "default_format": "CSVWithNames"})
    assert (answer.text, answer.headers["X-ClickHouse-Format"]) == ('"a"\n1\n', "CSVWithNames")


async def test_it_answers_pings_without_a_password(clickhouse_server: ClickHouse) -> None:
    async with http_client() as anyone:
        assert (await anyone.get(f"http://127.0.0.1:{clickhouse_server.port}/ping")).text == "Ok.\n"


async def test_a_crash_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path / "data")
    await server.start()
    many = await clickhouse_connect.get_async_client(**options(server))
    await many.command("CREATE TABLE kept (id UUID) ENGINE = MergeTree ORDER BY id")
    acknowledged: set[UUID] = set()
    enough = asyncio.Event()

    async def write() -> None:
        while True:
            batch = [(uuid4(),) for _ in range(200)]
            try:
                await many.insert("kept", batch, column_names=["id"])
            except ClickHouseError:
                return
            acknowledged.update(row[0] for row in batch)
            if len(acknowledged) >= 6000:
                enough.set()

    writers = [asyncio.create_task(write()) for _ in range(3)]
    await asyncio.wait_for(enough.wait(), 60)
    pid = server.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*writers)
    await server.ready()
    kept = {row[0] for row in (await many.query("SELECT id FROM kept")).result_rows}
    assert kept >= acknowledged
    await many.close()
    await server.stop()
