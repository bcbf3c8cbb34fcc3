"""Verbs of a served workspace that look at its history. They wait for no job."""

from __future__ import annotations

from contextlib import suppress

from kn_edit.client.working import Plain, Remote
from kn_edit.errors import UnknownId


class LookingVerbs(Remote):
    """What a service knows: status, versions, edits, facts, branches, tags, jobs."""

    def status(self) -> Plain:
        """The model, where the head is, which edits it holds."""
        status: Plain = self._get("status")
        return status

    @property
    def head(self) -> Plain:
        """The version of the current branch, or of the one that this object names."""
        return self.version(self._branch or "head")

    def version(self, name: str) -> Plain:
        """A version by id prefix, branch, tag, `head` or `base`. Raises UnknownId."""
        version: Plain = self._get("versions", name)
        return version

    def edit(self, id: str) -> Plain:
        """An edit by at least 8 digits of its id. Raises UnknownId."""
        edit: Plain = self._get("edits", id)
        return edit

    def show(self, name: str) -> Plain:
        """A version or an edit. Raises UnknownId."""
        with suppress(UnknownId):
            return self.version(name)
        return self.edit(name)

    def edits(self, most: int | None = None) -> list[Plain]:
        """Every edit ever recorded, newest first, or so many."""
        return self._listed("edits", most=most)

    def versions(self, most: int | None = None) -> list[Plain]:
        """The versions that any branch ever was at, newest first, or so many."""
        return self._listed("versions", most=most)

    def facts(self, version: str = "head") -> list[Plain]:
        """The facts that the edits of a version changed, newest first."""
        return self._listed("facts", version=self._named(version))

    def log(self, most: int | None = None, *, branch: str = "head") -> list[Plain]:
        """The moves that led to a branch, newest first, or so many. Raises UnknownBranch."""
        return self._listed("log", most=most, branch=self._named(branch))

    def graph(self, most: int | None = None) -> list[Plain]:
        """The moves of all branches, newest first, or so many."""
        return self._listed("graph", most=most)

    def diff(self, a: str, b: str = "head") -> Plain:
        """What sets two versions apart. Raises UnknownId."""
        difference: Plain = self._get("diff", a=self._named(a), b=self._named(b))
        return difference

    def blame(self, neuron: str) -> list[Plain]:
        """The edits that write a neuron's slot, oldest first. Raises NotANeuron."""
        entries: list[Plain] = self._get("blame", neuron=neuron)["items"]
        return entries

    def branches(self) -> list[Plain]:
        """Every branch by name, with its last edit and its last move."""
        branches: list[Plain] = self._get("branches")["items"]
        return branches

    def tags(self) -> list[Plain]:
        """Every tag by name, with its version."""
        tags: list[Plain] = self._get("tags")["items"]
        return tags

    def jobs(self, most: int | None = 50) -> list[Plain]:
        """The jobs, newest first, so many."""
        return self._listed("jobs", most=most)

    def job(self, id: str) -> Plain:
        """A job as it stands now. Raises UnknownJob."""
        job: Plain = self._get("jobs", id)
        return job

    def _named(self, version: str) -> str:
        """A version's name, where `head` is that of the branch that this object names."""
        return self._branch if self._branch and version.lower() == "head" else version
