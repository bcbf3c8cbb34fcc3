"""Object storage is reached by a package that is loaded when a bucket is first named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kn_edit.errors import ObjectsUnsupported
from kn_edit.later import later
from kn_edit.objects.access import access_of
from kn_edit.objects.address import ObjectAddress

if TYPE_CHECKING:
    from kn_edit.objects import bucket
else:
    bucket = later("kn_edit.objects.bucket")


def open_bucket(address: ObjectAddress) -> bucket.Bucket:
    """The objects at an address, with the access that the environment gives. Asks no server.

    Raises ObjectsUnsupported, ObjectKeysMissing, BadObjectEndpoint.
    """
    access = access_of(str(address))
    try:
        return bucket.Bucket(address, access)
    except ModuleNotFoundError:
        raise ObjectsUnsupported(str(address)) from None
