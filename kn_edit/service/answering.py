"""The live model of the service: it answers many callers, each a token at a time in its turn.

One thread owns the model. It is loaded with the first question, and goes from version to version by
writing the slots that differ. The answers that are being made take turns, one token each, whichever
their versions are; so two versions side by side both move, and nobody waits for a long answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from kn_edit.errors import AnsweringStopped, KnEditError, TooManyWaiting
from kn_edit.later import later
from kn_edit.workspace import Workspace
from kn_edit.workspace.answers import AnswerRequest, Finish, Piece

if TYPE_CHECKING:
    from kn_edit.workspace import speaking
else:
    speaking = later("kn_edit.workspace.speaking")

_LOG = logging.getLogger(__name__)
_USUAL_SECONDS = 5.0  # of an answer, until one was made


@dataclass(frozen=True)
class Limits:
    """What callers may ask for.

    tokens: of an answer; seconds: that one may be in the making; active: answers that take turns;
    waiting: behind them; cached: tokens of all active answers together, prompts included, whose
    keys and values are in memory, where more than one is active
    """

    tokens: int = 1024
    seconds: float = 120.0
    active: int = 8
    waiting: int = 16
    cached: int = 16_384

    @property
    def open(self) -> int:
        return self.active + self.waiting


@dataclass(frozen=True)
class Started:
    """A question was read; its answer comes."""

    prompt_tokens: int


@dataclass(frozen=True)
class Ended:
    """An answer is complete. tokens: those that were said, the one that ends the text among them"""

    finish: Finish
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True)
class Failed:
    """There is no answer, or no more of it."""

    error: Exception


Event = Started | Piece | Ended | Failed
Events = AsyncGenerator[tuple[int, Event], None]  # with the place of the question


class Ticket:
    """A question on its way through the queue. deliver: is told every event, by another thread"""

    def __init__(self, request: AnswerRequest, deliver: Callable[[Event], None]) -> None:
        self.request = request
        self.cancelled = False
        self.started = 0.0  # when its first turn came, by the monotonic clock
        self.answer: speaking.SpokenAnswer | None = None
        self._deliver = deliver

    def cancel(self) -> None:
        """Nobody waits for it any more. It ends before its next token."""
        self.cancelled = True

    def tell(self, event: Event) -> None:
        """Deliver an event; a caller that cannot be reached has gone."""
        try:
            self._deliver(event)
        except RuntimeError:  # its event loop is closed
            self.cancel()


class Answering:
    """Answers questions at any version of a workspace, by one live model in a thread."""

    def __init__(
        self,
        workspace: Workspace,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self._workspace = workspace
        self._clock = clock
        self._changed = threading.Condition()
        self._new: deque[Ticket] = deque()
        self._waiting: deque[Ticket] = deque()  # read by the model's tokenizer
        self._turns: deque[Ticket] = deque()  # the next one first
        self._open = 0  # tickets that have not ended
        self.tokens_said = 0  # of all answers, since the start
        self._seconds = _USUAL_SECONDS  # of an answer lately
        self._thread: threading.Thread | None = None
        self._speaker: speaking.Speaker | None = None
        self._closed = False

    def warm(self) -> None:
        """Begin to load the model in the background."""
        with self._changed:
            self._start()

    @property
    def open_answers(self) -> int:
        """How many answers are being made or wait."""
        return self._open

    @property
    def loaded(self) -> bool:
        return self._speaker is not None

    def submit(
        self, requests: Sequence[AnswerRequest], deliver: Callable[[int, Event], None]
    ) -> list[Ticket]:
        """Queue questions, all or none.

        deliver: is told every event with the question's place in the sequence, by another thread;
        the last of each question is Ended or Failed, unless its ticket is cancelled
        Raises TooManyWaiting, AnsweringStopped.
        """
        tickets = [
            Ticket(request, lambda event, place=place: deliver(place, event))  # type: ignore[misc]
            for place, request in enumerate(requests)
        ]
        with self._changed:
            if self._closed:
                raise AnsweringStopped()
            if self._open + len(tickets) > self.limits.open:
                raise TooManyWaiting(self.limits.open, self._retry_after())
            self._open += len(tickets)
            self._new.extend(tickets)
            self._start()
            self._changed.notify()
        return tickets

    def close(self) -> None:
        """End all answers, and give the model back."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _retry_after(self) -> int:
        """In how many seconds a place in the queue is likely free."""
        return min(60, max(1, ceil(self._seconds / self.limits.active)))

    def _start(self) -> None:
        """Make the thread that owns the model, if there is none. The lock is held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="answering", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._speaker = speaking.Speaker(self._workspace)
        except Exception as error:
            self._give_up(error)
            return
        while self._wait():
            self._read_new()
            self._admit()
            if self._turns:
                ticket = self._turns.popleft()
                if self._turn(ticket):
                    self._turns.append(ticket)
        self._give_up(AnsweringStopped())
        self._speaker = None

    def _give_up(self, error: Exception) -> None:
        """Tell all who wait. The next question tries again."""
        with self._changed:
            tickets = [*self._turns, *self._waiting, *self._new]
            for queue in (self._turns, self._waiting, self._new):
                queue.clear()
            self._open = 0
            self._thread = None
        for ticket in tickets:
            ticket.tell(Failed(error))

    def _wait(self) -> bool:
        """Wait for something to do. False: the service is stopping."""
        with self._changed:
            while not (self._closed or self._new or self._waiting or self._turns):
                self._changed.wait()
            return not self._closed

    def _read_new(self) -> None:
        """Turn new questions into tokens, so that one that cannot be asked is refused at once."""
        assert self._speaker is not None
        with self._changed:
            tickets = list(self._new)
            self._new.clear()
        for ticket in tickets:
            try:
                ticket.answer = self._speaker.begin(ticket.request)
            except Exception as error:
                self._end(ticket, Failed(error))
            else:
                ticket.tell(Started(ticket.answer.prompt_tokens))
                self._waiting.append(ticket)

    def _admit(self) -> None:
        """Give turns to those who wait, in order, while there is memory for their caches."""
        while self._waiting and len(self._turns) < self.limits.active:
            ticket = self._waiting[0]
            if not ticket.cancelled and self._turns and not self._fits(ticket):
                return
            self._waiting.popleft()
            ticket.started = self._clock()
            self._turns.append(ticket)

    def _fits(self, ticket: Ticket) -> bool:
        answers = [each.answer for each in (*self._turns, ticket)]
        return sum(answer.most_cached for answer in answers if answer) <= self.limits.cached

    def _turn(self, ticket: Ticket) -> bool:
        """Let an answer say its next token. Whether more of it comes."""
        answer = ticket.answer
        assert answer is not None
        if ticket.cancelled:
            self._end(ticket, None)
            return False
        said_before = answer.tokens
        try:
            pieces = answer.say()
            if answer.finish is None and self._clock() - ticket.started > self.limits.seconds:
                pieces += answer.end(Finish.TIME)
        except Exception as error:
            self._end(ticket, Failed(error))
            return False
        self.tokens_said += answer.tokens - said_before
        for piece in pieces:
            ticket.tell(piece)
        if answer.finish is None:
            return True
        self._seconds += 0.2 * (self._clock() - ticket.started - self._seconds)
        self._end(ticket, Ended(answer.finish, answer.prompt_tokens, answer.tokens))
        return False

    def _end(self, ticket: Ticket, event: Event | None) -> None:
        if isinstance(event, Failed) and not isinstance(event.error, KnEditError):
            _LOG.error("an answer failed", exc_info=event.error)
        with self._changed:
            self._open -= 1
        ticket.answer = None  # and its cache
        if event is not None:
            ticket.tell(event)


async def events(answering: Answering, requests: Sequence[AnswerRequest]) -> Events:
    """Ask, and give each event with the place of its question, until all have ended.

    A reader that stops early ends the answers. Raises TooManyWaiting, AnsweringStopped.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Event]]()

    def deliver(place: int, event: Event) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, (place, event))

    tickets = answering.submit(requests, deliver)
    unfinished = len(tickets)
    try:
        while unfinished:
            place, event = await queue.get()
            unfinished -= isinstance(event, Ended | Failed)
            yield place, event
    finally:
        for ticket in tickets:
            ticket.cancel()


async def accepted(
    answering: Answering, requests: Sequence[AnswerRequest]
) -> tuple[list[Started], Events]:
    """Ask, and wait until all questions were read: how they begin, and the events that follow.

    Raises what `events` raises, and the error of a question that cannot be asked; so a caller
    knows it before anything is sent.
    """
    following = events(answering, requests)
    started: dict[int, Started] = {}
    early: list[tuple[int, Event]] = []
    try:
        while len(started) < len(requests):
            place, event = await anext(following)
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Started):
                started[place] = event
            else:
                early.append((place, event))
    except BaseException:
        await following.aclose()
        raise
    return [started[place] for place in range(len(requests))], _joined(early, following)


async def _joined(early: list[tuple[int, Event]], following: Events) -> Events:
    async with aclosing(following):
        for pair in early:
            yield pair
        async for pair in following:
            yield pair
