"""The command that serves a workspace over HTTP."""

from __future__ import annotations

import errno
import logging
import math
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kn_edit.cli.opening import folder_named, workspace_option
from kn_edit.errors import AddressUnusable, ExtraMissing, PortTaken, reason_of

if TYPE_CHECKING:
    from kn_edit.service.serving import Served

STOPPING = (signal.SIGINT, signal.SIGTERM)
GRACE = 10.0  # seconds
PATIENCE = 3.0  # seconds beyond it, in which who waits for a job is told that it was cancelled


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8018,
    show_default=True,
    help="0 takes one that is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=1,
    show_default=True,
    help="Processes that run jobs; with 0, start `kn-edit worker` by yourself.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="What running jobs and answers have to end after Ctrl-C or SIGTERM.",
)
@click.option("--warm", is_flag=True, help="Load the model at once, not with the first question.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of the log on stderr: a line of text, or a JSON object, for each request.",
)
@workspace_option
def serve(
    host: str,
    port: int,
    workers: int,
    grace: float,
    warm: bool,
    log_format: str,
    workspace_folder: Path | None,
) -> None:
    """Serve the workspace over HTTP, with pages and an API.

    Reads are answered at once. Edits and whatever else runs the model are jobs, which worker
    processes run; each worker loads the model once. Ctrl-C or SIGTERM ends the service and its
    workers: what runs has a time of grace to finish, and jobs that wait stay in the queue for the
    next time.

    Whoever is on this machine may call it, until `kn-edit token create` has made a token; from then
    on every caller needs one. On an address that others reach, it does not start without.

    \b
    Examples:
      kn-edit serve
      kn-edit serve --port 0 --workers 2
      kn-edit serve --host 0.0.0.0
      kn-edit serve --log-format json 2> service.log
    """
    try:
        from kn_edit.service import logs, serving
    except ModuleNotFoundError as error:
        raise ExtraMissing("serve", error.name or "fastapi") from error
    logs.log_to_stderr(as_json=log_format == "json")
    folder = folder_named(workspace_folder)
    with (
        listening(host, port) as listener,
        serving.served(folder, address=host, warm=warm, workers=workers, grace=grace) as served,
    ):
        _run(served, listener, grace)


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that listens inside the block. Raises PortTaken, AddressUnusable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        unnamed = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from error
        raise AddressUnusable(host, port, reason_of(error)) from error
    # asyncio sends what is written at once (TCP_NODELAY) only where a socket names its protocol.
    # Else the second part of an answer waits 40 ms for the caller to confirm the first one.
    tcp, number = socket.IPPROTO_TCP, unnamed.detach()
    with socket.socket(family, socket.SOCK_STREAM, tcp, fileno=number) as listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    """The address of a service, as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(served: Served, listener: socket.socket, grace: float) -> None:
    """Serve until SIGINT or SIGTERM, which end it as if it were done; a second SIGINT at once."""
    import asyncio

    import uvicorn

    banner = f"kn-edit serves {served.folder.resolve()} at {address_of(listener)}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Tell the address once requests are answered."""
            await super().startup(sockets)
            click.echo(f"{banner} (Ctrl-C ends it)")
            logging.getLogger("kn_edit.service").info(banner)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Let workers end while answers that are on their way do."""
            await asyncio.to_thread(served.stop)
            await super().shutdown(sockets)

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            """Signals end the server; unlike uvicorn's own they are not raised again behind it."""
            former = {number: signal.getsignal(number) for number in STOPPING}
            for number in STOPPING:
                signal.signal(number, self.handle_exit)
            try:
                yield
            finally:
                for number, handler in former.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        served.app,
        log_config=None,
        access_log=False,  # kn_edit.service.operations.requests tells of requests
        timeout_graceful_shutdown=math.ceil(grace + PATIENCE),
        proxy_headers=False,  # what a proxy says of its callers, anybody could say
        server_header=False,
    )
    Server(config).run(sockets=[listener])
