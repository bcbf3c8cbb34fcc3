"""What edits leave of a model's abilities: tasks of lm-eval from local files, without a network.

The base and the version are exported, and each is loaded from its folder as anybody would load it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.errors import BadSetting, ExtraMissing
from kn_edit.untrusted import read_bounded
from kn_edit.workspace import Workspace

LOCAL = frozenset({"arrow", "csv", "json", "parquet", "text"})  # readers of local files
BATCH = 8
MOST_BYTES = 1 << 20  # of a file that describes a task
TASK = "a YAML file of one lm-eval task, without functions"


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task. The errors are lm-eval's standard errors; None where it gives none"""

    task: str
    metric: str
    base: float
    version: float
    base_error: float | None
    version_error: float | None


def capability(
    workspace: Workspace,
    tasks: Sequence[Path],
    *,
    version: str = "head",
    limit: int | None = None,
) -> list[TaskScore]:
    """Run lm-eval's tasks on the base and on a version.

    tasks: YAML files, each one task whose data are local files, named relative to it; limit: only
    so many documents of each. Raises ExtraMissing, BadSetting for a file that is no such task, and
    what `Workspace.export` raises.
    """
    lm_eval = _package()
    configs = [_config(path) for path in tasks]
    base, edited = (
        _results(workspace, lm_eval, configs, name, limit) for name in ("base", version)
    )
    return [
        TaskScore(
            task=task,
            metric=metric,
            base=value,
            version=edited[task][metric],
            base_error=_error(base[task], metric),
            version_error=_error(edited[task], metric),
        )
        for task, values in base.items()
        for metric, value in _metrics(values)
    ]


def _package() -> Any:
    """The package lm_eval. Raises ExtraMissing."""
    try:
        import lm_eval
    except ModuleNotFoundError as error:
        raise ExtraMissing("lm-eval", error.name or "lm_eval") from error
    return lm_eval


def _config(path: Path) -> dict[str, Any]:
    """A task as lm-eval takes it, its data by their whole paths. Raises BadSetting."""
    import yaml

    try:
        config = yaml.safe_load(read_bounded(path, MOST_BYTES))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSetting("the task", str(path), TASK) from error
    if not isinstance(config, dict) or not isinstance(config.get("task"), str):
        raise BadSetting("the task", str(path), TASK)
    arguments = config.get("dataset_kwargs") or {}
    if config.get("dataset_path") not in LOCAL or "data_files" not in arguments:
        needed = "data in local files: dataset_path json, and data_files in dataset_kwargs"
        raise BadSetting("the data of the task", str(path), needed)
    files = _absolute(arguments["data_files"], path.resolve().parent)
    return {**config, "dataset_kwargs": {**arguments, "data_files": files}}


def _absolute(files: Any, folder: Path) -> Any:
    """Names of files, one or several or by split, relative to a folder, as whole paths."""
    if isinstance(files, Mapping):
        return {split: _absolute(names, folder) for split, names in files.items()}
    if isinstance(files, list):
        return [_absolute(name, folder) for name in files]
    return str(folder / str(files))


def _results(
    workspace: Workspace,
    lm_eval: Any,
    configs: Sequence[dict[str, Any]],
    version: str,
    limit: int | None,
) -> dict[str, dict[str, Any]]:
    """What lm-eval says of a version, by task and metric."""
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model"
        workspace.export(exported, version=version)
        answers = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(exported), "dtype": "auto"},
            tasks=[dict(config) for config in configs],
            batch_size=BATCH,
            device="cpu",
            limit=limit,
            log_samples=False,
        )
    results: dict[str, dict[str, Any]] = answers["results"]
    return results


def _metrics(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The metrics among the values of a task: `acc,none` is one."""
    for name, value in values.items():
        if "," in name and "_stderr," not in name and isinstance(value, (int, float)):
            yield name, float(value)


def _error(values: Mapping[str, Any], metric: str) -> float | None:
    name, _, filtering = metric.partition(",")
    error = values.get(f"{name}_stderr,{filtering}")
    return float(error) if isinstance(error, (int, float)) else None
