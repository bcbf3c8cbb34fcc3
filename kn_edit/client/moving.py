"""Verbs of a served workspace that are jobs, and those that change names of versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kn_edit.client.looking import LookingVerbs
from kn_edit.client.working import Plain


class MovingVerbs(LookingVerbs):
    """Edits, moves, questions to the model, files, the Hub.

    Keywords that are not listed are the arguments of the command, with its names: relation,
    subject, answer, prompts, neighbours, statement, aliases, answer_aliases, method and its
    options, rule, steps, threshold, seed, accept, dry_run, min_efficacy, min_specificity.
    branch: to act on, by default the service's current one; expected_head: the id of the version
    that it has to be at, by default the one that it is at when the call begins.
    """

    # --- questions to the model ------------------------------------------------------------------

    def assess(self, *, version: str = "head", **arguments: Any) -> list[Plain]:
        """What the model answers to every prompt of a fact."""
        arguments["version"] = self._named(version)
        answers: list[Plain] = self._answer("assess", arguments)["items"]
        return answers

    def locate(self, *, version: str = "head", **arguments: Any) -> Plain:
        """The neurons of a fact; of a whole relation those of its facts, as `items`."""
        located: Plain = self._answer("locate", arguments | {"version": self._named(version)})
        return located

    def suppress(self, *, version: str = "head", factor: float = 0.0, **arguments: Any) -> Plain:
        """What p(answer) does when a fact's neurons are silent. Raises NoNeurons."""
        arguments |= {"version": self._named(version), "factor": factor}
        scaled: Plain = self._answer("suppress", arguments)
        return scaled

    def amplify(self, *, version: str = "head", factor: float = 2.0, **arguments: Any) -> Plain:
        """What p(answer) does when a fact's neurons are amplified. Raises NoNeurons."""
        arguments |= {"version": self._named(version), "factor": factor}
        scaled: Plain = self._answer("amplify", arguments)
        return scaled

    def evaluate(self, version: str = "head", *, seed: int = 0, **arguments: Any) -> Plain:
        """A version against the base: what its updates reach, and what they cost.

        arguments: `protocols`, a list such as `["free"]`; `tokens` and `samples` of generated
        texts; `rounded`, a number format for the weights
        """
        arguments |= {"version": self._named(version), "seed": seed}
        measured: Plain = self._answer("evaluate", arguments)
        return measured

    # --- edits -----------------------------------------------------------------------------------

    def update(
        self, *, branch: str | None = None, expected_head: str | None = None, **arguments: Any
    ) -> Plain:
        """Change a fact's answer, and record the edit. Raises GateFailed, HeadMoved, SameAnswer."""
        edited: Plain = self._moved("update", arguments, branch, expected_head)
        return edited

    def update_many(
        self,
        facts: Sequence[Mapping[str, Any]],
        *,
        branch: str | None = None,
        expected_head: str | None = None,
        **arguments: Any,
    ) -> Plain:
        """Change the answers of several facts, one edit each; as_one_edit=True: all by one.

        facts: rows as a file of facts has them, with subject, to, and relation or prompts
        """
        arguments["facts"] = [dict(fact) for fact in facts]
        batch: Plain = self._moved("updates", arguments, branch, expected_head)
        return batch

    def erase(
        self,
        relation: str,
        *,
        branch: str | None = None,
        expected_head: str | None = None,
        **arguments: Any,
    ) -> Plain:
        """Erase a relation, and record the edit. Raises GateFailed, HeadMoved."""
        arguments["relation"] = relation
        edited: Plain = self._moved("erase", arguments, branch, expected_head)
        return edited

    def record(
        self,
        proposal: str,
        *,
        accept: bool = False,
        branch: str | None = None,
        expected_head: str | None = None,
    ) -> Plain:
        """Record an edit that a dry run measured, with the same bytes.

        proposal: the member of that name of what the dry run gave
        Raises GateFailed, HeadMoved where the branch is not where it was measured, UnknownProposal.
        """
        arguments = {"proposal": proposal, "accept": accept}
        edited: Plain = self._moved("record", arguments, branch, expected_head)
        return edited

    # --- moves -----------------------------------------------------------------------------------

    def revert(
        self,
        edit: str,
        *,
        allow_overlap: bool = False,
        branch: str | None = None,
        expected_head: str | None = None,
    ) -> Plain:
        """A new version without an edit. Raises EditNotApplied, SlotOverlap, HeadMoved."""
        arguments = {"edit": edit, "allow_overlap": allow_overlap}
        version: Plain = self._moved("revert", arguments, branch, expected_head)
        return version

    def rewind(
        self, version: str, *, branch: str | None = None, expected_head: str | None = None
    ) -> Plain:
        """Move a branch to a version that exists. Raises AlreadyThere, UnknownId, HeadMoved."""
        reached: Plain = self._moved("rewind", {"version": version}, branch, expected_head)
        return reached

    def merge(
        self,
        branches: str | Iterable[str],
        *,
        branch: str | None = None,
        expected_head: str | None = None,
        **arguments: Any,
    ) -> Plain:
        """Put the edits of branches, or other versions, onto the branch.

        keep: `ours`, `theirs` or `both`; choices: the same for one fact each; allow_overlap
        Raises FactsDiffer where nobody chose, SlotOverlap, HeadMoved.
        """
        arguments["branches"] = _names(branches)
        version: Plain = self._moved("merge", arguments, branch, expected_head)
        return version

    def compose(
        self,
        versions: str | Iterable[str],
        *,
        branch: str | None = None,
        expected_head: str | None = None,
        **arguments: Any,
    ) -> Plain:
        """A new version with the edits of several. Keywords and errors as of `merge`."""
        arguments["versions"] = _names(versions)
        version: Plain = self._moved("compose", arguments, branch, expected_head)
        return version

    # --- names of versions -----------------------------------------------------------------------

    def tag(self, name: str, version: str = "head", *, move: bool = False) -> Plain:
        """Name a version. Raises TagExists unless it may move."""
        body = {"name": name, "version": self._named(version), "move": move}
        tag: Plain = self._wrote("POST", "tags", body=body)
        return tag

    def branch(self, name: str, version: str = "head") -> Plain:
        """Make a branch at a version. Raises BranchExists, UnknownId."""
        body = {"name": name, "version": self._named(version)}
        branch: Plain = self._wrote("POST", "branches", body=body)
        return branch

    def rename_branch(self, name: str, to: str) -> Plain:
        """Give a branch another name. Raises UnknownBranch, BranchExists."""
        branch: Plain = self._wrote("PATCH", "branches", name, body={"name": to})
        return branch

    def delete_branch(self, name: str, *, force: bool = False) -> Plain:
        """Remove the name of a branch. Raises UnknownBranch, BranchIsCurrent, OnlyThere."""
        branch: Plain = self._wrote("DELETE", "branches", name, force=force)
        return branch

    # --- files and the Hub -----------------------------------------------------------------------

    def export(
        self, target: str, *, version: str = "head", form: str = "checkpoint", **arguments: Any
    ) -> Plain:
        """Write a version to a new folder of the service. Raises ExportsNotAllowed."""
        arguments |= {"target": target, "version": self._named(version), "as": form}
        exported: Plain = self._answer("export", arguments)
        return exported

    def push(
        self, repo: str, *, version: str = "head", form: str = "checkpoint", **arguments: Any
    ) -> Plain:
        """Publish a version on the Hub. Raises RepositoryNotAllowed, and what a push raises."""
        arguments |= {"repo": repo, "version": self._named(version), "as": form}
        pushed: Plain = self._answer("push", arguments)
        return pushed

    def pull(
        self, source: str, *, branch: str | None = None, expected_head: str | None = None
    ) -> Plain:
        """Take in what `owner/name` or `owner/name@revision` published. Raises Diverged."""
        pulled: Plain = self._moved("pull", {"source": source}, branch, expected_head)
        return pulled

    def rollback(self, repo: str, to: str, *, branch: str = "main") -> Plain:
        """Restore what a repository held at a version; branch: of the repository"""
        pushed: Plain = self._answer("rollback", {"repo": repo, "to": to, "branch": branch})
        return pushed

    def verify(self, version: str | None = None, *, since: str | None = None) -> Plain:
        """Rebuild versions and compare every digest; `ok` where all is well."""
        report: Plain = self._answer("verify", {"version": version, "since": since})
        return report

    # --- jobs ------------------------------------------------------------------------------------

    def cancel(self, id: str) -> Plain:
        """Take a queued job out, or ask a running one to stop. Raises UnknownJob, JobEnded."""
        job: Plain = self._wrote("DELETE", "jobs", id)
        return job


def _names(versions: str | Iterable[str]) -> list[str]:
    return [versions] if isinstance(versions, str) else list(versions)
