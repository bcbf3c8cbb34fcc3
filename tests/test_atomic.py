"""Files that appear whole, unique temporary names, leftovers told from work under way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from failing_disk import failing_from

from kn_edit import atomic
from kn_edit.atomic import (
    is_leftover_name,
    place,
    remove_leftover,
    scratch_folder,
    temporary_name,
    write_atomically,
)
from kn_edit.errors import WriteUnknown


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_the_usual_mode_and_nothing_beside_it(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert names(tmp_path) == ["a"]


def test_a_link_is_replaced_and_what_it_points_at_is_kept(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "a").is_symlink()


def test_new_content_that_may_not_last_is_told_as_unknown(tmp_path, monkeypatch):
    """It took the place of the old content, so nobody may say that nothing was written."""
    (tmp_path / "a").write_text("old")
    failed = failing_from(lambda path: path == tmp_path, monkeypatch)
    with pytest.raises(WriteUnknown) as caught:
        write_atomically(tmp_path / "a", "new")
    monkeypatch.undo()
    assert failed
    assert caught.value.path == tmp_path / "a"
    assert (tmp_path / "a").read_text() == "new"


def close(path: Path) -> None:
    """Close this process's descriptor of a file, so that closing it again fails."""
    for link in Path("/proc/self/fd").iterdir():
        if os.path.lexists(link) and link.readlink() == path:
            os.close(int(link.name))
            return
    raise AssertionError(f"{path} is not open")


@pytest.mark.parametrize("durable", [True, False])
def test_closing_that_fails_is_no_failure_of_a_file_that_is_there(tmp_path, monkeypatch, durable):
    rename = os.rename

    def then_close(source, target, **folders):
        rename(source, target, **folders)
        close(tmp_path / "a")

    monkeypatch.setattr(os, "rename", then_close)
    write_atomically(tmp_path / "a", "new", durable=durable)
    assert (tmp_path / "a").read_text() == "new"


def test_a_note_that_cannot_be_closed_is_no_failure_of_the_folder(tmp_path):
    notes = tmp_path / "notes"
    with scratch_folder(tmp_path, "a", notes) as folder:
        (note,) = notes.iterdir()
        close(note)
        folder.rename(tmp_path / "a")
    assert names(tmp_path) == ["a", "notes"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failure_keeps_the_old_content_and_leaves_nothing(tmp_path, monkeypatch, call):
    (tmp_path / "a").write_text("old")

    def fail(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_file_whose_temporary_was_tidied_away_is_written_again(tmp_path, monkeypatch):
    real, removed = atomic.lock, []

    def tidy(descriptor, *, wait):  # between the making of the file and its lock
        if not removed:
            (path,) = tmp_path.glob(".a.*.tmp")
            removed.append(remove_leftover(path, old=False))
        return real(descriptor, wait=wait)

    monkeypatch.setattr(
        atomic, "lock", lambda d, wait: tidy(d, wait=wait) if wait else real(d, wait=wait)
    )
    write_atomically(tmp_path / "a", "text")
    assert removed == [True]
    assert (tmp_path / "a").read_text() == "text"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["a", "x" * 250, "é" * 120, "with\nline"])
def test_temporary_names_are_recognised_and_never_too_long(tmp_path, name):
    temporary = temporary_name(name, ".tmp")
    assert is_leftover_name(temporary)
    assert len(os.fsencode(temporary)) < 200
    assert temporary != temporary_name(name, ".tmp")
    assert not is_leftover_name(name)


def test_work_under_way_is_left_alone_and_leftovers_are_removed(tmp_path):
    with scratch_folder(tmp_path, "push") as scratch:
        (scratch / "weights").write_text("w")
        assert not remove_leftover(scratch, old=True)
        assert (scratch / "weights").exists()
    assert names(tmp_path) == []
    folder, file = tmp_path / ".a.0123456789abcdef.partial", tmp_path / ".b.0123456789abcdef.tmp"
    folder.mkdir()
    (folder / "inside").write_text("x")
    file.write_text("x")
    assert remove_leftover(folder, old=False)
    assert remove_leftover(file, old=False)
    assert not remove_leftover(file, old=False)  # gone already
    assert names(tmp_path) == []


def test_a_killed_command_holds_no_lock(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from kn_edit.atomic import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), 'x') as scratch:\n"
        "    print(scratch, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        scratch = Path(maker.stdout.readline().strip())
        assert not remove_leftover(scratch, old=True)
        maker.kill()
        maker.wait()
    assert scratch.is_dir()
    assert remove_leftover(scratch, old=False)


def test_links_are_neither_followed_nor_removed_as_leftovers(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").write_text("precious")
    link = tmp_path / ".a.0123456789abcdef.partial"
    link.symlink_to(tmp_path / "home")
    inside = tmp_path / ".b.0123456789abcdef.partial"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "home")
    assert not remove_leftover(link, old=True)
    assert remove_leftover(inside, old=True)
    assert (tmp_path / "home" / "precious").read_text() == "precious"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_of_several_files_exactly_one_gets_the_name(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *a, **k: (_ for _ in ()).throw(OSError(1, "EPERM")))
    sources = [tmp_path / str(number) for number in range(8)]
    for source in sources:
        source.write_text(source.name)

    def compete(source: Path) -> str | None:
        try:
            place(source, tmp_path / "name")
        except FileExistsError:
            return None
        return source.name

    with ThreadPoolExecutor(8) as pool:
        winners = [winner for winner in pool.map(compete, sources) if winner]
    assert len(winners) == 1
    assert (tmp_path / "name").read_text() == winners[0]


def test_a_dangling_link_counts_as_taken(tmp_path):
    (tmp_path / "new").write_text("x")
    (tmp_path / "name").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        place(tmp_path / "new", tmp_path / "name")
    assert not (tmp_path / "elsewhere").exists()


def test_a_page_is_written_beside_files_of_the_user_that_look_temporary(tmp_path):
    from kn_edit.evaluation.report import write

    (tmp_path / "precious").write_text("precious")
    (tmp_path / "report.tmp").symlink_to(tmp_path / "precious")
    write(tmp_path / "report.html", "page")
    assert (tmp_path / "report.html").read_text() == "page"
    assert (tmp_path / "report.tmp").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_that_a_killed_command_left_anywhere_is_found_by_its_note(tmp_path):
    notes, place = tmp_path / "cache" / "notes", tmp_path / "elsewhere"
    place.mkdir()
    script = (
        "import os, sys; from pathlib import Path; from kn_edit.atomic import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), 'x', Path(sys.argv[2])) as scratch:\n"
        "    (scratch / 'weights').write_text('w'); print(scratch, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(place), str(notes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        scratch = Path(maker.stdout.readline().strip())
        assert list(atomic.noted_leftovers(notes)) == []  # its maker works on
        maker.kill()
        maker.wait()
    found = []
    for path in atomic.noted_leftovers(notes):
        found.append(path)
        assert remove_leftover(path, old=False)
    assert found == [scratch]
    assert (names(place), names(notes)) == ([], [])


def test_work_that_ends_leaves_no_note(tmp_path):
    with scratch_folder(tmp_path, "x", tmp_path / "notes"):
        assert len(names(tmp_path / "notes")) == 1
    with pytest.raises(RuntimeError), scratch_folder(tmp_path, "x", tmp_path / "notes"):
        raise RuntimeError
    with scratch_folder(tmp_path, "x", tmp_path / "notes") as scratch:
        scratch.rename(tmp_path / "done")
    assert names(tmp_path) == ["done", "notes"]
    assert names(tmp_path / "notes") == []


def test_a_note_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "notes").write_text("in the way")
    with scratch_folder(tmp_path, "x", tmp_path / "notes") as scratch:
        assert scratch.is_dir()


def test_a_note_that_a_kill_cut_off_is_removed_wherever_it_was_cut(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    path = os.fsencode(tmp_path / temporary_name("out", ".partial"))
    for size in range(len(path)):
        (notes / f"{size:04}.note").write_bytes(path[:size])
    assert list(atomic.noted_leftovers(notes)) == []
    assert names(notes) == []


def test_a_note_that_a_tidier_took_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    notes, lock = tmp_path / "notes", atomic.lock

    def tidied_first(descriptor, *, wait):
        if wait and not tidied:
            tidied.extend(names(notes))
            assert list(atomic.noted_leftovers(notes)) == []
        return lock(descriptor, wait=wait)

    tidied: list[str] = []
    monkeypatch.setattr(atomic, "lock", tidied_first)
    with scratch_folder(tmp_path, "x", notes) as scratch:
        (note,) = notes.iterdir()
        assert note.name not in tidied
        assert note.read_bytes() == os.fsencode(scratch)
    assert len(tidied) == 1


def test_a_wild_note_leads_nowhere(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "precious").mkdir()
    for number, text in enumerate([tmp_path / "precious", "", "relative", "\n", "a" * 9000]):
        (notes / f"{number}.note").write_text(str(text))
    (notes / "9.note").symlink_to(tmp_path / "precious")
    assert list(atomic.noted_leftovers(notes)) == []
    assert (tmp_path / "precious").is_dir()


def test_without_locks_only_age_tells_a_leftover(tmp_path, monkeypatch):
    import fcntl

    def none(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    write_atomically(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"
    with scratch_folder(tmp_path, "x") as scratch:
        assert not remove_leftover(scratch, old=False)
        assert scratch.is_dir()
        assert remove_leftover(scratch, old=True)
    assert names(tmp_path) == ["a"]
