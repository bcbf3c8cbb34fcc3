"""The ledger of edits and versions. Importing it does not import torch."""

from kn_edit.ledger.ledger import Ledger
from kn_edit.ledger.records import (
    Advance,
    BaseRecord,
    Blame,
    Difference,
    EditRecord,
    NewEdit,
    Overlap,
    Problem,
    Ref,
    Step,
    VersionRecord,
)

__all__ = [
    "Advance",
    "BaseRecord",
    "Blame",
    "Difference",
    "EditRecord",
    "Ledger",
    "NewEdit",
    "Overlap",
    "Problem",
    "Ref",
    "Step",
    "VersionRecord",
]
