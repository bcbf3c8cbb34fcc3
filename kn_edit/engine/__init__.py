"""A base model at any version: edits laid on, scores kept."""
