"""What the Hub has to say about the metadata of a model card."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml  # comes with huggingface_hub

FRONT_MATTER = re.compile(r"\s*---\r?\n(.*?)\r?\n---\s*(?:\n|$)", re.DOTALL)
# Some of those that the Hub knows. Spelled otherwise ("Apache-2.0") it refuses them.
LICENSES = ["apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "gemma", "llama3.2", "other"]
INDEX = [
    "model-index.*.name",
    "model-index.*.results.*.task.type",
    "model-index.*.results.*.dataset.name",
    "model-index.*.results.*.dataset.type",
    "model-index.*.results.*.metrics.*.type",
    "model-index.*.results.*.metrics.*.value",
]


def opinion(card: str) -> tuple[list[str], list[str]]:
    """Errors, for which the Hub refuses the card, and warnings.

    The Hub itself takes a card without a license; here it is an error.
    """
    found = FRONT_MATTER.match(card)
    if found is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"Invalid YAML: {error}"], []
    if not isinstance(metadata, dict):
        return ["the metadata must be a mapping"], []
    errors = list(_missing(metadata, ["license"]))
    if metadata.get("license") not in [None, *LICENSES]:
        errors.append(f'"license" must be one of [{", ".join(LICENSES)}]')
    if "model-index" in metadata:
        errors += [error for path in INDEX for error in _missing(metadata, path.split("."))]
    return errors, []


def _missing(node: object, path: list[str], at: str = "") -> Iterator[str]:
    """Where a path does not lead on; its star stands for every item of a list."""
    if not path:
        return
    key, *rest = path
    if key == "*" and isinstance(node, list):
        for i, item in enumerate(node):
            yield from _missing(item, rest, f"{at}[{i}]")
    elif key == "*":
        yield f'"{at}" must be an array'
    elif isinstance(node, dict) and node.get(key) is not None:
        yield from _missing(node[key], rest, f"{at}.{key}" if at else key)
    else:
        yield f'"{at}.{key}" is required' if at else f'"{key}" is required'
