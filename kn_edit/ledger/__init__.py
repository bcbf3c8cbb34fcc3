"""The ledger of edits and versions. Importing it does not import torch."""

from kn_edit.ledger.ledger import Ledger
from kn_edit.ledger.records import (
    Adoption,
    Advance,
    BaseRecord,
    Blame,
    Difference,
    EditRecord,
    LayerChange,
    LayerDifference,
    NewEdit,
    Overlap,
    Problem,
    Publication,
    Ref,
    Report,
    Step,
    VersionRecord,
)

__all__ = [
    "Adoption",
    "Advance",
    "BaseRecord",
    "Blame",
    "Difference",
    "EditRecord",
    "LayerChange",
    "LayerDifference",
    "Ledger",
    "NewEdit",
    "Overlap",
    "Problem",
    "Publication",
    "Ref",
    "Report",
    "Step",
    "VersionRecord",
]
