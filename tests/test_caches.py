"""The cache of scores has a bound, and nothing beside it is touched."""

from __future__ import annotations

import os
import time

import pytest

from kn_edit.workspace.caches import Trimmed, remove_leftovers, trim_scores


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
