"""kn-edit: git for the facts in a model."""

__version__ = "0.1.0"
