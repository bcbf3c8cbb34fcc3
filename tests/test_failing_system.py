"""Errors of sockets and of disks, which Python gives one class: each ends in its own exit code."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from kn_edit.cli.failures import as_own_error
from kn_edit.errors import CannotWrite, ExitCode, HubFailed, HubLoadFailed, KnEditError
from kn_edit.hub.failures import explained
from kn_edit.models.source import _translated


def error_of(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


NETWORK = {
    "no route": error_of(errno.ENETUNREACH),
    "a firewall": error_of(errno.EACCES),
    "refused": ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    "reset": ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "no name": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "silence": TimeoutError("timed out"),
    "silence of the system": error_of(errno.ETIMEDOUT),
    "certificate": ssl.SSLCertVerificationError(1, "certificate verify failed"),
    "end": ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
}
DISK = {
    "full": error_of(errno.ENOSPC),
    "full, named": error_of(errno.ENOSPC, "/cache/x"),
    "quota": error_of(errno.EDQUOT),
    "read-only": error_of(errno.EROFS, "/cache/x"),
    "not allowed": error_of(errno.EACCES, "/cache/x"),
    "too many files": error_of(errno.EMFILE),
}


def loaded(error: Exception) -> KnEditError:
    with pytest.raises(KnEditError) as caught, _translated("org/model"):
        raise error
    return caught.value


@pytest.mark.parametrize("error", NETWORK.values(), ids=NETWORK)
def test_a_failing_network_is_told_as_one(error):
    pushed, got = explained(error, "org/model", "main"), loaded(error)
    assert isinstance(pushed, HubFailed) and isinstance(got, HubLoadFailed)
    for ours in (pushed, got):
        assert ours.exit_code == ExitCode.NETWORK
        assert "makes no sense" not in str(ours)


@pytest.mark.parametrize("error", DISK.values(), ids=DISK)
def test_a_failing_disk_is_told_as_one(error):
    for ours in (explained(error, "org/model", "main"), loaded(error)):
        assert isinstance(ours, CannotWrite)
        assert ours.exit_code == ExitCode.DISK


@pytest.mark.parametrize(
    "name", ["no name", "reset", "silence", "silence of the system", "certificate", "refused"]
)
def test_a_socket_that_nobody_explains_is_the_network_too(name):
    ours = as_own_error(NETWORK[name])
    assert isinstance(ours, KnEditError)
    assert ours.exit_code == ExitCode.NETWORK


@pytest.mark.parametrize("error", [*DISK.values(), TimeoutError(errno.ETIMEDOUT, "late", "/nfs/x")])
def test_a_file_that_nobody_explains_is_the_disk(error):
    ours = as_own_error(error)
    assert isinstance(ours, KnEditError)
    assert ours.exit_code == ExitCode.DISK
