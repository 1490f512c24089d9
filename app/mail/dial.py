"""A connection to a mail server, made only to addresses that may be reached."""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from app.errors import PermanentError, RetryableError
from app.http import Address, is_refused

Lookup = Callable[..., Sequence[Any]]
"""`socket.getaddrinfo`, or what stands in for it in a test."""


async def dial(host: str, port: int, allowed: Collection[Address], lookup: Lookup) -> socket.socket:
    """A connected socket. Each address that the name has is looked at right before it is called, so a name that changes
    its mind gains nothing. Raises PermanentError where no address may be called, RetryableError where none answers."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(None, partial(lookup, host, port, 0, socket.SOCK_STREAM))
    except OSError as e:
        raise RetryableError(f"{host}:{port} was not called: its name could not be resolved ({e.strerror or e})") from e
    private, refused, failed = (host.lower(), port) in allowed, "", ""
    for family, kind, protocol, _, address in found:
        if not private and is_refused(str(address[0])):
            refused = str(address[0])
            continue
        try:
            return await _connected(socket.socket(family, kind, protocol), address)
        except OSError as e:
            failed = e.strerror or type(e).__name__
    if refused and not failed:
        raise PermanentError(
            f"{host}:{port} was not called: {refused} is not a public address; if it is meant, name it as the "
            f"connection's base_url: smtp://{host}:{port}"
        )
    raise RetryableError(f"{host}:{port} was not called: the connection failed ({failed or 'it has no address'})")


async def _connected(made: socket.socket, address: Any) -> socket.socket:
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made
