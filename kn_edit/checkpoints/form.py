"""What a form of export is: how a version leaves the ledger. `forms` has the table of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from kn_edit.edits.delta import BaseRef, Delta
    from kn_edit.models.shards import Progress, Shards


@dataclass(frozen=True)
class ExportOptions:
    """How a form is to be written.

    most_rank: of an adapter; None for the usual bound
    follow_links: copy also what links of the model's folder point at outside of it
    """

    most_rank: int | None = None
    follow_links: bool = False


@dataclass(frozen=True, eq=False)
class Export:
    """A version that is to be written in some form.

    open_shards: opens the base, which only some forms read; deltas: the version's, in order
    digests: sha256 of the tensors that it changes, by name, as the ledger recorded them
    """

    open_shards: Callable[[], Shards]
    base: BaseRef
    model_type: str
    deltas: Sequence[Delta]
    digests: Mapping[str, str]
    options: ExportOptions = field(default_factory=ExportOptions)
    progress: Progress | None = None

    @property
    def shards(self) -> Shards:
        """The base's tensors. Raises BaseChanged, BaseFolderMissing."""
        return self.open_shards()


@dataclass(frozen=True)
class Published:
    """What loads a published version, to be named in the code that its model card shows.

    auto: the class of transformers; base, revision: of the model that it goes on top of
    """

    repo: str
    auto: str
    base: str
    revision: str | None

    @property
    def at_revision(self) -> str:
        """The further argument of `from_pretrained` for the base."""
        return f', revision="{self.revision}"' if self.revision else ""


class ExportForm(ABC):
    """A form in which a version leaves the ledger."""

    name: ClassVar[str]  # as --as takes it
    summary: ClassVar[str]  # a few words for the help
    library: ClassVar[str]  # that loads it, as the Hub spells it
    relation: ClassVar[str]  # to its base, as the Hub spells it: finetune, adapter
    holds: ClassVar[str]  # a sentence of the model card
    publishable: ClassVar[bool] = True
    with_companions: ClassVar[bool] = False  # configuration and tokenizer are copied with it
    ranked: ClassVar[bool] = False  # takes most_rank

    @abstractmethod
    def write(self, export: Export, target: Path) -> Path:
        """Write the version to a new folder."""

    def files(self, export: Export, scratch: Path) -> Mapping[str, bytes | Path]:
        """The files to publish, by their path there.

        scratch: a folder that does not exist yet, for what has to be written first
        """
        self.write(export, scratch)
        paths = sorted(path for path in scratch.rglob("*") if path.is_file())
        return {path.relative_to(scratch).as_posix(): path for path in paths}

    def loading(self, published: Published) -> tuple[str, ...]:
        """Lines of Python that load what was published; none where `kn-edit pull` does."""
        return ()
