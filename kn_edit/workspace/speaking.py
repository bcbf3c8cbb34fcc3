"""The live model of a served workspace: it answers at any version, several texts in turns."""

from __future__ import annotations

from kn_edit.engine.engine import Engine
from kn_edit.engine.swapping import VersionSwapper
from kn_edit.engine.undisturbed import undisturbed
from kn_edit.errors import CannotContinue, PromptEmpty
from kn_edit.models.chat import chat_ids
from kn_edit.models.encoding import Ids, refuse_unreadable, text_ids
from kn_edit.models.generation import Generation, Sampling
from kn_edit.models.memory import memory_told
from kn_edit.models.model import Model
from kn_edit.models.text_pieces import TextPieces
from kn_edit.workspace.answers import AnswerRequest, Finish, Piece, TokenText
from kn_edit.workspace.asking import deltas_of
from kn_edit.workspace.opened import OpenWorkspace


class Speaker:
    """A model of its own, that says one token at a time, each at the version asked for.

    Making one loads the model, and raises what that raises. It is used by one thread at a time.
    """

    def __init__(self, workspace: OpenWorkspace) -> None:
        engine = Engine(
            workspace.base, workspace.ledger_folder, placement=workspace.engine.placement
        )
        self._name = workspace.base.name
        self._model = engine.model
        self.versions = VersionSwapper(self._model, lambda id: deltas_of(workspace, id))

    def begin(self, request: AnswerRequest) -> SpokenAnswer:
        """Make the answer to a request, of which nothing is said yet.

        Raises CannotContinue, NoChatTemplate, PromptEmpty, PromptTooLong, TokenNotEmbedded,
        TokenizerFailed.
        """
        if not self._model.causal:
            raise CannotContinue(self._name)
        with undisturbed():
            ids = self._ids(request)
            refuse_unreadable(self._model, ids)
            return SpokenAnswer(self._model, self.versions, request, ids)

    def _ids(self, request: AnswerRequest) -> Ids:
        if request.messages:
            ids = chat_ids(self._model, request.messages)
        elif isinstance(request.text, str):
            ids = text_ids(self._model, request.text)
        else:
            ids = request.text
        if not ids:
            raise PromptEmpty(str(request.text))
        return ids


class SpokenAnswer:
    """An answer in the making. finish: why it ended, once it has."""

    def __init__(
        self, model: Model, versions: VersionSwapper, request: AnswerRequest, ids: Ids
    ) -> None:
        self._model, self._versions, self._request = model, versions, request
        sampling = Sampling(
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            likeliest=request.likeliest,
        )
        self._generation = Generation(model, ids, sampling)
        self._pieces = TextPieces(model, ids, request.stop)
        room = request.most_tokens if model.max_length is None else model.max_length + 1 - len(ids)
        self._most = min(request.most_tokens, room)
        self.finish: Finish | None = None

    @property
    def prompt_tokens(self) -> int:
        return len(self._generation.prompt)

    @property
    def tokens(self) -> int:
        """How many were said, the one that ends the text among them."""
        return len(self._generation.tokens)

    @property
    def most_cached(self) -> int:
        """Tokens whose keys and values it may come to hold in memory."""
        return self.prompt_tokens + self._most

    def say(self) -> list[Piece]:
        """Say one more token. Raises NotFinite, UnknownId, OutOfMemory.

        Where the text ends with it, `finish` is set, and a piece follows with what was held back.
        """
        with undisturbed(), memory_told(self._model):
            self._versions.model_at(self._request.version)
            token = self._generation.next_token()
        text = "" if self._generation.ended else self._pieces.add(token.id)
        pieces = [Piece(text, self._named(token.id, token.log_p), self._all_named(token.likeliest))]
        if self._generation.ended or self._pieces.stopped:
            self.finish = Finish.STOP
        elif self.tokens >= self._most:
            self.finish = Finish.LENGTH
        return [*pieces, *self._held()] if self.finish else pieces

    def end(self, finish: Finish) -> list[Piece]:
        """End it before the model does; what was held back comes as a piece."""
        self.finish = finish
        return self._held()

    def _held(self) -> list[Piece]:
        text = self._pieces.end()
        return [Piece(text, None)] if text else []

    def _named(self, token: int, log_p: float) -> TokenText:
        return TokenText(token, str(self._model.tokenizer.decode([token])), log_p)

    def _all_named(self, tokens: tuple[tuple[int, float], ...]) -> tuple[TokenText, ...]:
        return tuple(self._named(*pair) for pair in tokens)
