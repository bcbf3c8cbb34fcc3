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
    """How many facts are solved for at once, and what holds the rest (decisions 0064, 0072)."""

    layers: int = 7  # that write, up to the measured one
    margin: float = 9.0  # of log-probability over the next token, that a fact's shift brings alone
    steps: int = 12  # that look for this shift, at most
    step: float = 0.2  # length of one, at most, in units of the hidden state
    wordings: int = 6  # of a fact, that its shift is found with; of a held one, that are held
    share: float = 1.0  # of the shift, that is to be written
    w_held: float = 0.5  # of a place that must stay, in units of one that changes
    w_text: float = 2.0  # of ordinary text, in units of a row for each neuron of a layer
    held_facts: int = 200  # of each relation, that are held
    answer_layers: int = 8  # that write where answers are, at most; none: 0
    answer_margin: float = 12.0  # of log-probability, that an answer is to have there in the end
    w_answer_text: float = 0.25  # as w_text, in these layers
    w_answer_held: float = 0.125  # as w_held, in these layers

    def __post_init__(self) -> None:
        for name in ("margin", "answer_margin", "step", "share", "w_text", "w_answer_text"):
            require_number(f"the joint update's {name}", getattr(self, name), above=0)
        for name in ("w_held", "w_answer_held"):
            require_number(f"the joint update's {name}", getattr(self, name), least=0)
        for name in ("held_facts", "answer_layers"):
            require_whole(f"the joint update's {name}", getattr(self, name), 0)
        for name in ("layers", "steps", "wordings"):
            require_whole(f"the joint update's {name}", getattr(self, name), 1)
