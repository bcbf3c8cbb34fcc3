"""The cache of scores has a bound, and nothing beside it is touched."""

from __future__ import annotations

import os
import time

import pytest

from kn_edit.engine.score_files import ScoreFiles, Trimmed, cached_bytes, trim_keys, trim_scores
from kn_edit.workspace.caches import remove_leftovers


@pytest.fixture
def scores(tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "scores" / "ab"
    folder.mkdir(parents=True)
    return folder


def test_the_oldest_scores_go_first(scores):
    for number in range(10):
        path = scores / f"{number}.json"
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - 1000 + number,) * 2)
    assert trim_scores(650) == Trimmed(4, 400)
    assert sorted(path.name for path in scores.iterdir()) == [f"{n}.json" for n in range(4, 10)]
    assert trim_scores(650) == Trimmed(0, 0)


def test_a_score_that_was_read_lately_outlives_one_that_was_written_later(scores):
    files = ScoreFiles()
    names = [f"{number:064x}" for number in range(10)]
    for number, name in enumerate(names):
        files.write(name, "x" * 98)
        path = scores.parent / name[:2] / f"{name}.json"
        os.utime(path, (time.time() - 1000 + number,) * 2)
    assert files.read(names[0]) == "x" * 98
    assert trim_scores(250) == Trimmed(8, 800)
    assert [name for name in names if files.read(name)] == [names[0], names[9]]


def test_the_cache_makes_room_as_it_is_written(scores):
    files = ScoreFiles(most=1000)
    for number in range(40):
        files.write(f"{number:064x}", "x" * 98)
        assert cached_bytes() <= 1000
    assert files.read(f"{39:064x}") == "x" * 98
    assert files.read(f"{0:064x}") is None
    another = ScoreFiles(most=1000)  # of another process: it counts what is there
    for number in range(40, 43):
        another.write(f"{number:064x}", "x" * 98)
        assert cached_bytes() <= 1000


def test_nothing_is_removed_through_a_link(scores, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "precious.json").write_bytes(bytes(100))
    (home / ".a.0123456789abcdef.tmp").write_text("precious")
    (scores.parent / "cd").symlink_to(home)
    assert trim_scores(0) == Trimmed(0, 0)
    assert remove_leftovers() == []
    assert len(list(home.iterdir())) == 2


def test_leftovers_in_the_cache_are_removed(scores):
    leftovers = [
        scores / ".x.json.0123456789abcdef.tmp",
        scores.parent.parent / ".smollm2-135m-instruct.0123456789abcdef.partial",
    ]
    leftovers[0].touch()
    leftovers[1].mkdir()
    (scores.parent.parent / "mine").mkdir()
    assert sorted(remove_leftovers()) == sorted(leftovers)
    assert (scores.parent.parent / "mine").is_dir()
    assert not any(path.exists() for path in leftovers)


def test_without_a_cache_there_is_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "none"))
    assert (trim_scores(), remove_leftovers()) == (Trimmed(0, 0), [])


def test_the_oldest_coefficients_go_first_and_scores_stay(scores, monkeypatch):
    keys = scores.parents[1] / "keys" / "ab"
    keys.mkdir(parents=True)
    monkeypatch.setattr("kn_edit.engine.score_files.MAX_KEYS", 650)
    for number in range(10):
        path = keys / f"{number}.keys"
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - 1000 + number,) * 2)
    (scores / "0.json").write_bytes(bytes(100))
    assert trim_keys() == Trimmed(4, 400)
    assert sorted(path.name for path in keys.iterdir()) == [f"{n}.keys" for n in range(4, 10)]
    assert (scores / "0.json").exists()
