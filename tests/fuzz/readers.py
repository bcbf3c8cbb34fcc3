"""Readers of bytes that come from strangers: each takes them or refuses them with a typed error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ledgers import delta_of, low_rank_of

from kn_edit.checkpoints.recipe import parse_recipe
from kn_edit.edits.delta import Delta
from kn_edit.errors import KnEditError
from kn_edit.facts import load_relation, read_cases, read_sentences
from kn_edit.hub.manifest import Published
from kn_edit.hub.names import check_repo, check_revision, split_revision
from kn_edit.ledger.names import check_tag
from kn_edit.models.header import read_header
from kn_edit.neuron import NeuronId
from kn_edit.tensor_header import HeaderProblem

Reader = Callable[[bytes], object]
PLACE = Path("a file")
LONGEST = 500  # characters of a sentence


def _file(read: Callable[[Path], object], ending: str) -> Reader:
    """A reader of bytes from one of files."""

    def reader(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(suffix=ending) as file:
            file.write(data)
            file.flush()
            return read(Path(file.name))

    return reader


def _text(*readers: Callable[[str], object]) -> Reader:
    """A reader of bytes from several of names, each asked."""

    def reader(data: bytes) -> object:
        for read in readers:
            with suppress(KnEditError):
                read(data.decode(errors="surrogateescape"))
        return None

    return reader


RECIPE = b"""{"base":{"fingerprint":"%s","repo":null,"revision":null},"edits":["%s"],
"format":"kn-recipe/1"}""" % (b"f" * 64, b"0" * 64)
PUBLISHED = Published("0" * 64, "delta", {"kn_edit.json": "1" * 64}).to_json()
PACK = b"""{"name": "home", "templates": [{"text": "The capital of [X] is [Y]."}],
"facts": [["France", "Paris"], ["Japan", "Tokyo"]]}"""
SENTENCES = b"""[{"th_bags": ["Paris is the capital of France."],
"h_bags": ["France exports wine."]}]"""
CASE = b'{"relation": "capital", "subject": "France", "answer": "Paris", "to": "Rome"}\n'

# Each reader with the seeds that a fuzzer begins with.
READERS: dict[str, tuple[Reader, tuple[bytes, ...]]] = {
    "delta": (
        Delta.from_bytes,
        (delta_of((0, 1), (1, 2)).to_bytes(), low_rank_of(0, 1).to_bytes()),
    ),
    "header": (_file(read_header, ".safetensors"), (delta_of((0, 1)).to_bytes(),)),
    "recipe": (lambda data: parse_recipe(data, PLACE), (RECIPE,)),
    "facts": (_file(read_cases, ".jsonl"), (CASE, b"[" + CASE + b"]")),
    "published": (lambda data: Published.from_json(data, PLACE), (PUBLISHED,)),
    "packs": (_file(lambda path: load_relation(str(path)), ".json"), (PACK,)),
    "sentences": (
        _file(lambda path: read_sentences(path, load_relation("capital")), ".json"),
        (SENTENCES,),
    ),
    "names": (
        _text(NeuronId.parse, check_repo, check_revision, split_revision, check_tag),
        (b"L9.2141", b"me/model@v1", b"before-paris", b"refs/pr/1"),
    ),
}


def refused(reader: Reader, data: bytes) -> str | None:
    """The sentence with which a reader refuses bytes; None where it takes them.

    Raises anything else that the reader raises, and AssertionError for a sentence too long.
    """
    try:
        reader(data)
    except (KnEditError, HeaderProblem) as error:
        sentence = str(error)
        assert len(sentence) <= LONGEST, f"a sentence of {len(sentence)} characters"
        return sentence
    return None
