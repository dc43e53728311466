"""`python -m frameworks.engines.clickhouse_server --data DIR --port N`: own the files, answer on loopback."""

import argparse
import os
from pathlib import Path

import uvicorn
import uvloop

from frameworks.engines.clickhouse_server.app import Facade, Limits
from frameworks.engines.clickhouse_server.config import layout, write_config
from frameworks.engines.clickhouse_server.pool import Pool, address
from frameworks.engines.remembered import secret
from frameworks.kit import log


def arguments() -> argparse.Namespace:
    """The command line."""
    usual = Limits()
    parser = argparse.ArgumentParser(prog="clickhouse_server", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="directory of the store, the password and the schemas"
    )
    parser.add_argument("--port", type=int, required=True, help="loopback port of the HTTP protocol")
    parser.add_argument(
        "--connections", type=int, default=usual.connections, help="statements at the same time"
    )
    parser.add_argument("--body-limit", type=int, default=usual.body, help="bytes of one request")
    parser.add_argument(
        "--seconds-limit", type=int, default=usual.seconds, help="longest run of one statement"
    )
    parser.add_argument("--memory-limit", type=int, default=usual.memory, help="bytes one statement may use")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    places = layout(options.data.resolve())
    os.chdir(places.store.parent)  # the engine keeps its cache of schemas where it is started
    limits = Limits(
        body=options.body_limit,
        seconds=options.seconds_limit,
        memory=options.memory_limit,
        connections=options.connections,
    )
    write_config(places.config, memory=2 * limits.memory)
    pool = Pool(address(places.store, places.config), limits.connections, limits.waiting)
    facade = Facade(pool, password=secret(places.password), schemas=places.schemas, limits=limits)
    config = uvicorn.Config(
        facade, host="127.0.0.1", port=options.port, http="httptools", access_log=False, log_level="warning"
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    log.setup()
    uvloop.run(serve(arguments()))
