"""The verbs: what the command line and Python users call.

Importing this needs no torch; the names of `_LATER` bring it when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kn_edit.checkpoints.form import Export, ExportForm, Published
from kn_edit.checkpoints.forms import add_form, forms
from kn_edit.editing.erasures import Frequent, Shared, Specific
from kn_edit.editing.method import EditMethod, Kind, Option, options_of, summary_of, takes_many
from kn_edit.editing.methods import How, add_method, method_of, methods, require_many
from kn_edit.editing.requests import ChangedFact, case_of, with_aliases, with_held_out
from kn_edit.editing.updates import Auto, Calibrated, ClosedForm, Correction, Joint
from kn_edit.engine.cluster import Cluster
from kn_edit.evaluation.gate import Gate
from kn_edit.evaluation.metric import Direction, Figure, Metric, add_metric, metrics
from kn_edit.facts import Case, Fact, Relation, bundled, cases_of_rows, load_relation, read_cases
from kn_edit.ledger import (
    BaseRecord,
    Blame,
    BranchRecord,
    Difference,
    EditRecord,
    FactChange,
    FactRecord,
    LayerChange,
    LayerDifference,
    Overlap,
    Problem,
    Publication,
    Ref,
    Step,
    VersionRecord,
)
from kn_edit.ledger.conflicts import Claim, FactConflict, Settled
from kn_edit.workspace.batch import Batch, BatchRow, RowResult, RowStatus
from kn_edit.workspace.calls import PlannedMove
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.opened import Restored
from kn_edit.workspace.planning import Plan
from kn_edit.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kn_edit.editing.drafts import Draft
    from kn_edit.editing.evaluating import Comparison, Evaluation
    from kn_edit.editing.locating import Search
    from kn_edit.editing.pace import Forecast
    from kn_edit.editing.scaling import Scaled
    from kn_edit.evaluation.changes import Change
    from kn_edit.hub.log import Release
    from kn_edit.hub.push import Pushed
    from kn_edit.neurons.assess import Assessment
    from kn_edit.neurons.locate import Located
    from kn_edit.workspace.benchmark import Benchmark
    from kn_edit.workspace.measured import MeasuredEdit
    from kn_edit.workspace.publishing import Pulled

__all__ = [
    "Assessment",
    "Auto",
    "BaseRecord",
    "Batch",
    "BatchRow",
    "Benchmark",
    "Blame",
    "BranchRecord",
    "Calibrated",
    "Case",
    "Change",
    "ChangedFact",
    "Claim",
    "ClosedForm",
    "Cluster",
    "Comparison",
    "Correction",
    "Difference",
    "Direction",
    "Draft",
    "EditMethod",
    "EditRecord",
    "Edited",
    "Evaluation",
    "Export",
    "ExportForm",
    "Fact",
    "FactChange",
    "FactConflict",
    "FactRecord",
    "Figure",
    "Forecast",
    "Frequent",
    "Gate",
    "How",
    "Joint",
    "Kind",
    "LayerChange",
    "LayerDifference",
    "Located",
    "MeasuredEdit",
    "Metric",
    "Option",
    "Overlap",
    "Plan",
    "PlannedMove",
    "Problem",
    "Publication",
    "Published",
    "Pulled",
    "Pushed",
    "Ref",
    "Relation",
    "Release",
    "Restored",
    "RowResult",
    "RowStatus",
    "Scaled",
    "Search",
    "Settled",
    "Shared",
    "Specific",
    "Step",
    "VersionRecord",
    "Workspace",
    "add_form",
    "add_method",
    "add_metric",
    "bundled",
    "case_of",
    "cases_of_rows",
    "forms",
    "load_relation",
    "method_of",
    "methods",
    "metrics",
    "options_of",
    "read_cases",
    "require_many",
    "summary_of",
    "takes_many",
    "with_aliases",
    "with_held_out",
]

_LATER = {
    "Assessment": "kn_edit.neurons.assess",
    "Benchmark": "kn_edit.workspace.benchmark",
    "Change": "kn_edit.evaluation.changes",
    "Comparison": "kn_edit.editing.evaluating",
    "Draft": "kn_edit.editing.drafts",
    "Evaluation": "kn_edit.editing.evaluating",
    "Forecast": "kn_edit.editing.pace",
    "Located": "kn_edit.neurons.locate",
    "MeasuredEdit": "kn_edit.workspace.measured",
    "Pulled": "kn_edit.workspace.publishing",
    "Pushed": "kn_edit.hub.push",
    "Release": "kn_edit.hub.log",
    "Scaled": "kn_edit.editing.scaling",
    "Search": "kn_edit.editing.locating",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
