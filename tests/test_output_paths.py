"""Where commands write: never into a ledger's own folder, and nothing of a killed one stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import contents

from kn_edit.errors import CannotWrite
from kn_edit.evaluation.report import made_folder, write

WRITERS = (
    ("init", "{model}", "--workspace", "{target}"),
    ("restore", "saved.tar", "--workspace", "{target}"),
    ("restore", "saved.tar", "--replace", "--workspace", "{target}"),
    ("export", "{target}"),
    ("export", "{target}", "--as", "adapter"),
    ("export", "{target}", "--as", "patch"),
    ("export", "{target}", "--as", "delta"),
    ("backup", "{target}"),
    ("report", "{target}"),
    ("report", "{target}", "--edit", "{edit}"),
    ("reproduce", "{target}", "--quick", "--relation", "{pack}"),
)


@pytest.mark.parametrize("args", WRITERS, ids=" ".join)
@pytest.mark.parametrize("target", [".kn-edit/blobs/a/b", "link/new"])
def test_nothing_is_written_into_a_ledgers_own_folder(args, target, edited):
    assert edited("backup", "saved.tar").code == 0
    Path("elsewhere/.kn-edit/x").mkdir(parents=True)  # of another workspace
    Path("link").symlink_to("elsewhere/.kn-edit")
    edit = edited("log", "--json").json[0]["edit"]
    before = _files()
    places = {"model": edited.model, "pack": edited.pack, "target": target, "edit": edit}
    ran = edited(*(part.format(**places) for part in args), "--json")
    assert (ran.code, ran.error["error"]) == (2, "TargetInsideLedger")
    assert _files() == before


def _files() -> dict[str, bytes]:
    """Every file here, but for those that SQLite takes for its own."""
    return {
        name: data for name, data in contents(Path()).items() if not name.endswith(("-wal", "-shm"))
    }


def test_a_folder_of_pages_is_cleared_of_what_a_killed_command_left(tmp_path):
    left = tmp_path / ".report.html.0123456789abcdef.tmp"
    own = tmp_path / ".report.html.tmp"
    for path in (left, own):
        path.write_text("half a page")
    made_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [own.name]


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(CannotWrite) as caught:
        write(tmp_path / "report.html", "page")
    assert caught.value.target == tmp_path / "report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
