"""What an OSError on the way to the Hub means: a disk that fails, or a network that does.

Libraries raise the same class for both. Errors of sockets name no file; a write to an open file
does not name it either, so there the number decides.
"""

from __future__ import annotations

import errno
import socket
import ssl

_REFUSED = (errno.EACCES, errno.EPERM)  # of a file, or of a firewall
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)
_UNREACHABLE = {
    *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ECONNREFUSED),
    *(errno.EADDRNOTAVAIL, errno.ENETRESET, errno.EPROTOTYPE, errno.EAFNOSUPPORT, errno.EINVAL),
    *_REFUSED,
}


def is_of_disk(error: BaseException) -> bool:
    """Whether an error is one of files, about which the Hub can do nothing."""
    if not isinstance(error, OSError) or isinstance(error, (socket.gaierror, ssl.SSLError)):
        return False
    return error.errno in _DISK or (error.filename is not None and error.errno in _REFUSED)


def network_words(error: BaseException) -> str | None:
    """What a failure of a socket says of the Hub, to follow `the Hub`; None for other errors."""
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, ssl.SSLError):
        return "cannot be reached over an encrypted connection that can be trusted"
    if isinstance(error, (socket.gaierror, socket.herror)):
        return "cannot be found: its name has no address"
    if isinstance(error, ConnectionRefusedError) or error.errno in _UNREACHABLE:
        return "cannot be reached"
    return "broke off the connection" if isinstance(error, ConnectionError) else None
