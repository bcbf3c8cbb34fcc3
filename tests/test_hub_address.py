"""HF_ENDPOINT may hold anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ledgers import new_ledger

from kn_edit.errors import ExitCode

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz123456"


@pytest.mark.parametrize("address", [f"http://user:{TOKEN}@[::1", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_ends_in_one_sentence(tmp_path, address):
    new_ledger(tmp_path).close()
    ran = subprocess.run(
        [sys.executable, "-m", "kn_edit.cli", "pull", "ann/model"],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == ExitCode.USAGE
    assert ran.stderr.startswith("kn-edit: HF_ENDPOINT is no address")
    assert TOKEN not in ran.stderr
