"""How the solvers of updates are set. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kn_edit.errors import require_number, require_whole


@dataclass(frozen=True)
class Settings:
    """Weights of the loss, and when to stop. Chosen by measurement (decisions 0011 and 0016)."""

    w_loc: float = 100.0
    w_norm: float = 1e-3
    w_off_target: float = 200.0
    rate: float = 0.4  # length of Adam's first step, in units of |v|
    betas: tuple[float, float] = (0.8, 0.9)  # short memory: the first gradients are far larger
    margin: float = 8.0  # of log-probability over the next token
    margin_buffer: float = 0.5  # what the loss asks for beyond it
    power: float = 1.0  # of what is missing; at 2 a prompt that lags far behind counts for more
    kl_limit: float = 0.005  # nats, mean over the prompts to keep
    off_target_limit: float = 0.02
    chat_margin: float = 5.0  # of what is said in a chat, as far as it can be (decision 0062)
    w_chat: float = 20.0  # as w_loc, of the way to what is said there
    chat_limit: float = 0.8  # of the loss of both
    most_steps: int = 30
    fewest: int = 20  # neurons to begin with
    more: int = 5  # neurons added at a time where those cannot carry the change
    most_neurons: int = 30

    def __post_init__(self) -> None:
        for name in ("w_loc", "w_off_target", "w_chat", "margin_buffer"):
            require_number(f"the solver's {name}", getattr(self, name), least=0)
        for name in ("w_norm", "rate", "power"):
            require_number(f"the solver's {name}", getattr(self, name), above=0)
        for name in ("kl_limit", "off_target_limit", "chat_margin", "chat_limit", "margin"):
            require_number(f"the solver's {name}", getattr(self, name))
        for beta in self.betas:
            require_number("the solver's beta", beta, least=0, most=0.9999)
        for name, least in (("most_steps", 0), ("fewest", 1), ("more", 1), ("most_neurons", 1)):
            require_whole(f"the solver's {name}", getattr(self, name), least)


CAUSAL = Settings()
# A masked LM of few neurons needs more of them, and answers by less of a margin to begin with.
MASKED = Settings(
    w_off_target=320.0,
    rate=1.0,
    margin=6.0,
    power=2.0,
    off_target_limit=0.003,
    most_steps=50,
    fewest=50,
    most_neurons=50,
)


@dataclass(frozen=True)
class CorrectionSettings:
    """Weights of the loss, how much each step sees, and when to stop (decision 0020)."""

    slots: int | None = None  # written at most, in all layers together; None: as many as there are
    rank: int = 1  # keys of each layer
    steps: int = 32
    extra: int = 12  # steps, where the answer does not lead after these
    pressing: int = 24  # where it still does not: steps that hold everything else less
    pressed: float = 0.3  # times all that is held, in these
    rate: float = 1.0  # length of Adam's first step of all layers, in units of a usual write
    betas: tuple[float, float] = (0.8, 0.95)
    margin: float = 4.0  # of log-probability over the next token
    switched_margin: float = 6.0  # the same, where switches say the answer (decision 0033)
    w_keep: float = 10.0
    w_near: float = 3.0
    w_settled: float = 10.0  # times w_near, where the answer leads by nearly the margin
    switched_w_settled: float = 4.0  # the same, where switches say it
    w_same: float = 0.3
    w_off_target: float = 5.0
    w_norm: float = 1e-3
    reworded: int = 6  # of each kind, seen by one step
    near: int = 9
    same: int = 1
    text: int = 3
    patience: int = 3  # steps in a row without anything missing, before the last look

    def __post_init__(self) -> None:
        for name in (
            "w_keep",
            "w_near",
            "w_settled",
            "switched_w_settled",
            "w_same",
            "w_off_target",
            "pressed",
        ):
            require_number(f"the correction's {name}", getattr(self, name), least=0)
        for name in ("rate", "margin", "switched_margin", "w_norm"):
            require_number(f"the correction's {name}", getattr(self, name), above=0)
        for name in ("steps", "extra", "pressing"):
            require_whole(f"the correction's {name}", getattr(self, name), 0)
        for name in ("rank", "patience"):
            require_whole(f"the correction's {name}", getattr(self, name), 1)
        if self.slots is not None:
            require_whole("the correction's slots", self.slots, 1)

    @property
    def switched(self) -> CorrectionSettings:
        """These settings where switches say the answer: what they write reaches less else."""
        return replace(self, margin=self.switched_margin, w_settled=self.switched_w_settled)


# A masked LM's fact is said at one place, in few tokens, so steps are cheap; what tells subjects
# apart there lies in more directions than at a subject's own tokens (decision 0020).
MASKED_CORRECTION = CorrectionSettings(
    rank=8, steps=80, extra=16, near=12, w_near=3.0, w_settled=1.0
)


@dataclass(frozen=True)
class JointSettings:
    """How many facts are solved for at once, and what holds the rest (decision 0056)."""

    below: int = 1  # layers above the one that is written, in a causal LM that has enough of them
    margin: float = 1.0  # of log-probability over the next token, that a target brings alone
    later_margin: float = 3.0  # of the second token of an answer, and those behind it
    steps: int = 16  # that look for a target, at most
    rate: float = 0.1  # length of a step, in units of what the layer usually writes
    bisections: int = 6  # that look for the smallest target of its direction
    stretch: float = 1.8  # times its target, what a fact's own prompts get in the mean
    w_held: float = 2.0  # of a prompt that must stay, in units of one that changes
    w_text: float = 0.1  # of ordinary text, in units of all prompts
    held_facts: int = 200  # of each relation, that are held
    wordings: int = 6  # of each of these
    subject_share: float = 0.7  # of the shift where a subject ends, written; 0: answers alone
    subject_counted: float = 0.5  # of it, that targets at answers count on
    lone_share: float = 1.2  # the same of a fact beside which no relation is held
    lone_counted: float = 0.9
    subject_margin: float = 2.0  # as margin, that this shift brings
    subject_steps: int = 8  # that look for this shift, at most
    subject_step: float = 0.2  # length of a step, at most, in units of the hidden state
    subject_wordings: int = 4  # of a fact, that it is found with; of a held one, that are held
    w_subject_text: float = 2.0  # as w_text, for this layer

    def __post_init__(self) -> None:
        for name in (
            "margin",
            "later_margin",
            "rate",
            "stretch",
            "w_text",
            "subject_counted",
            "lone_share",
            "lone_counted",
            "subject_margin",
            "subject_step",
            "w_subject_text",
        ):
            require_number(f"the joint update's {name}", getattr(self, name), above=0)
        for name in ("w_held", "subject_share"):
            require_number(f"the joint update's {name}", getattr(self, name), least=0)
        for name in ("below", "bisections", "held_facts", "wordings"):
            require_whole(f"the joint update's {name}", getattr(self, name), 0)
        for name in ("steps", "subject_steps", "subject_wordings"):
            require_whole(f"the joint update's {name}", getattr(self, name), 1)

    def shares(self, *, pack: bool) -> tuple[float, float]:
        """How much of a shift is counted on, and how much is written.

        pack: other facts of the fact's relation are held. Where they are not, what is written at
        answers reaches other subjects, and more is left to what is written where subjects end.
        """
        if not self.subject_share:
            return 0.0, 0.0
        if pack:
            return self.subject_counted, self.subject_share
        return self.lone_counted, self.lone_share
