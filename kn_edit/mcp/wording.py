"""The words of the tools for what can be done about an error."""

from __future__ import annotations

from kn_edit.errors import Remedy, WordingTable
from kn_edit.service.wording import HTTP

TOOLS = WordingTable(
    {
        **HTTP.words,
        Remedy.ACCEPT: "kn-edit update --accept",
        Remedy.AGAIN: "call the tool again",
        Remedy.AGAIN_ON_HEAD: "call the tool again; a proposal has to be made again first",
        Remedy.ASSESS: "assess",
        Remedy.BRANCHES: "kn-edit branch",
        Remedy.BRANCH_OFF: "kn-edit branch NAME {0}",
        Remedy.EDIT_EACH: "propose, once for each fact",
        Remedy.ERASE_WITH_ZERO: "kn-edit erase --with zero",
        Remedy.FACTS: "kn-edit update --facts FILE",
        Remedy.FORCE: "kn-edit branch --force",
        Remedy.JOURNAL_DIGEST: "kn-edit verify prints",
        Remedy.LOG: "log",
        Remedy.MERGE: "kn-edit merge {0}",
        Remedy.NEW_BRANCH: "kn-edit branch NAME",
        Remedy.PIPE: "kn-edit update --facts FILE, not {0}",
        Remedy.PUSH: "kn-edit push",
        Remedy.REVERT: "revert {0}",
        Remedy.REWIND: "kn-edit rewind {0}",
        Remedy.SHOW: "show {0}",
        Remedy.STATUS: "show head",
        Remedy.SWITCH: "kn-edit switch {0}",
        Remedy.TAG: "kn-edit tag TAG {0}",
        Remedy.TOKEN: "start `kn-edit mcp` with a token in KN_EDIT_TOKEN",
        Remedy.VERIFY: "kn-edit verify",
        Remedy.WORKSPACE: "kn-edit mcp --workspace {0}",
    }
)
