"""Markers made impossible, rarer or likelier while a model decodes.

    steering = steer(lexicons.load("kim2026"), "ban")             # or "penalise", "boost" with an amount in nats
    engine = HfEngine(..., processors=[processor(steering, tokenizer)])
    steering.describe()                                           # for run.json; `processor.describe()` adds the counts
    server_bias(steering, tokenizer)                              # {id: bias} for an OpenAI-compatible server, or a refusal
    vllm_arguments(steering)                                      # what `LLM` and `SamplingParams` get

A word is steered, not a token: the token that would complete a marker, in any case, behind whatever tokens spell the rest
of it, gets the bias at that step and at no other (`automaton`). So the last part of a word is never banned by itself
("ait" stays). Where a marker stands is as its lexicon counts: free of letters (`await` and `checkerboard` stay), or, for
one that is matched as a substring or by characters, within words too. So what is banned is not counted afterwards.

What cannot be told: whether a token that ends where the marker ends is the whole word. "check" is steered although the
next token might have made it "checkmate"; a vocabulary mostly has another token for such words. Conditions of a lexicon
(`when`, `initial`, `cancel`) look at text that is not written yet, so a form is steered wherever it stands.

Never steered: special tokens, what ends a turn, the tags of thinking (`pieces.protected_ids`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import ConfigError, EngineError, LexiconError, nearest
from epiverb.models.automaton import Automaton, Completions, Ints
from epiverb.models.pieces import protected_ids, token_bytes
from epiverb.models.tokensets import SPACES, TokenSet, cases, resolve
from epiverb.schema import EPISTEMIC
from epiverb.text.lexicon import Lexicon
from epiverb.text.match import spellings

if TYPE_CHECKING:
    from epiverb.models.processors import SteeringProcessor

ACTIONS = ("ban", "penalise", "boost")
INSIDE = ("substring", "characters")
"""Rules of lexicons that count a marker within words too."""
EXTRA = "epiverb_steering"
"""Key of vLLM's `SamplingParams.extra_args`."""
SERVER_LIMIT = 100.0
"""The largest bias that OpenAI's API takes; -100 is as good as a ban."""
BOUNDLESS = "it must not touch a letter, and its first or last one is beyond ASCII, which bytes cannot tell."


@dataclass(frozen=True)
class Steering:
    """What is steered, and how strongly."""

    name: str
    """Of the lexicon, or of the control set."""
    action: str
    """One of `ACTIONS`."""
    amount: float
    """Nats added to or taken from the logit; infinite for a ban."""
    forms: tuple[str, ...]
    """In lower case."""
    free: tuple[bool, ...] = ()
    """Of each form, whether no letter may touch it; empty: of all."""
    ids: tuple[int, ...] = ()
    """Tokens that are steered wherever they stand (a control set of random tokens)."""
    sha256: str | None = None
    """Of the lexicon."""
    conditional: tuple[str, ...] = ()
    """Forms that the lexicon counts only in some places; steered everywhere."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Form -> why it is not steered."""

    @property
    def bias(self) -> float:
        """Added to the logit, in nats."""
        return self.amount if self.action == "boost" else -self.amount

    def describe(self) -> dict[str, Any]:
        """For run.json; plain values, an infinite amount as None."""
        return {
            "intervention": self.action,
            "steered": self.name,
            "lexicon_sha256": self.sha256,
            "amount_nats": None if math.isinf(self.amount) else self.amount,
            "n_forms": len(self.forms),
            "n_inside_words": sum(not free for free in self.free),
            "n_conditional": len(self.conditional),
            "n_ids": len(self.ids),
            "forms": list(self.forms),
            "ids": list(self.ids),
            "left_out": self.left_out,
        }

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes, in plain values."""
        return {
            "name": self.name,
            "action": self.action,
            "amount": None if math.isinf(self.amount) else self.amount,
            "forms": list(self.forms),
            "free": list(self.free),
            "ids": list(self.ids),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Steering:
        """The steering behind `to_json`."""
        amount = math.inf if data["amount"] is None else float(data["amount"])
        forms, free, ids = (tuple(data[key]) for key in ("forms", "free", "ids"))
        return cls(data["name"], data["action"], amount, forms, free, ids)


def steer(
    lex: Lexicon, action: str, amount: float | None = None, *, categories: Sequence[str] | None = None,
    inside_words: bool | None = None,
) -> Steering:  # fmt: skip
    """The steering of a lexicon's markers.

    Args:
        amount: nats, for `penalise` and `boost`.
        categories: only these; None: the epistemic ones.
        inside_words: also where letters touch a marker; None: as the lexicon counts (`INSIDE`).

    Raises:
        ConfigError: an unknown action or category, or an amount that does not fit the action.
    """
    for category in categories or ():
        if category not in lex.forms:
            raise ConfigError(f"lexicon {lex.name}: no category {category!r}.{nearest(category, lex.forms)}")
    wanted = [c for c in lex.forms if c in (EPISTEMIC if categories is None else categories)]
    forms = list(dict.fromkeys(f for c in wanted for several in lex.forms[c].values() for f in several))
    if not forms:
        raise LexiconError(
            f"lexicon {lex.name}: none of its markers is in the categories {', '.join(categories or EPISTEMIC)}."
        )
    anywhere = lex.match in INSIDE if inside_words is None else inside_words
    free = {form: not anywhere or form in lex.standalone for form in forms}
    left_out = {f: BOUNDLESS for f in forms if free[f] and not (f[0] + f[-1]).isascii()}
    forms = [form for form in forms if form not in left_out]
    return Steering(
        lex.name,
        action,
        _amount(action, amount),
        tuple(forms),
        tuple(free[form] for form in forms),
        sha256=lex.sha256,
        conditional=tuple(form for form in forms if form in lex.conditions),
        left_out=left_out,
    )


def steer_words(
    words: Iterable[str], action: str, amount: float | None = None, *, name: str, inside_words: bool = False
) -> Steering:
    """The same steering of other words: a control set (`controls.matched`)."""
    forms = tuple(dict.fromkeys(word.lower() for word in words))
    return Steering(name, action, _amount(action, amount), forms, (not inside_words,) * len(forms))


def steer_ids(ids: Iterable[int], action: str, amount: float | None = None, *, name: str) -> Steering:
    """The same steering of tokens wherever they stand: a control set of random tokens (`controls.random_tokens`)."""
    return Steering(name, action, _amount(action, amount), (), ids=tuple(sorted(set(ids))))


def _amount(action: str, amount: float | None) -> float:
    if action not in ACTIONS:
        raise ConfigError(f"unknown intervention {action!r}.{nearest(action, ACTIONS)}")
    if action == "ban":
        if amount is not None and not math.isinf(amount):
            raise ConfigError("a ban takes no amount; use penalise for a finite one.")
        return math.inf
    if amount is None or not 0 < amount < math.inf:
        raise ConfigError(f"{action} needs an amount: nats, above 0 (published: a bias of -100 bans, 1 to 5 are mild).")
    return float(amount)


class Compiled:
    """A steering for one vocabulary: which ids get the bias, from the state behind the text so far.

    Args:
        ends: ids that end a response by the generation config.
    """

    def __init__(self, steering: Steering, tokenizer: Any, ends: Iterable[int] = ()) -> None:
        patterns: dict[bytes, bool] = {}
        for form, free in zip(steering.forms, steering.free or (True,) * len(steering.forms), strict=True):
            for spelling in spellings(form):
                patterns[spelling.encode()] = free and patterns.get(spelling.encode(), True)
        self.automaton = Automaton(list(patterns), list(patterns.values()))
        self._pieces = token_bytes(tokenizer)
        self._completions = Completions(self.automaton, self._pieces)
        self.protected = np.array(sorted(protected_ids(tokenizer, ends)), np.int64)
        self._always = np.setdiff1d(np.array(steering.ids, np.int64), self.protected)
        self._known: dict[int, Ints] = {}

    def ids(self, state: int) -> Ints:
        """Ids that get the bias behind `state`, ascending."""
        if state not in self._known:
            found = np.setdiff1d(self._completions.ids(state), self.protected, assume_unique=True)
            self._known[state] = np.union1d(found, self._always) if len(self._always) else found
        return self._known[state]

    def advance(self, states_B: Ints, tokens_B: Ints) -> Ints:
        """The state of each row behind one more token."""
        return self._completions.advance(states_B, tokens_B)

    def behind(self, tokens: Sequence[int]) -> int:
        """The state behind a text of these tokens; what lies further back than the longest marker is not read."""
        some = [i for i in tokens[-self.automaton.depth - 2 :] if 0 <= i < len(self._pieces)]
        start = self.automaton.start if len(some) == len(tokens) else 0
        return self.automaton.read(start, b"".join(self._pieces[i] for i in some))


def processor(steering: Steering, tokenizer: Any, ends: Iterable[int] = ()) -> SteeringProcessor:
    """A logits processor of transformers that does it."""
    from epiverb.models.processors import SteeringProcessor

    return SteeringProcessor(steering, tokenizer, ends)


def server_bias(
    steering: Steering, tokenizer: Any, *, partial: bool = False
) -> tuple[dict[int, float], dict[str, Any]]:
    """`logit_bias` for a server that knows single tokens only, and what it does, for run.json.

    Such a bias knows no context: it also meets the token inside a longer word. Bias beyond ±100 is cut to that.

    Args:
        partial: steer what single tokens can write, and leave the rest, counted.

    Raises:
        EngineError: a form takes several tokens, in lower case or capitalised, and `partial` is not set; or none is left.
    """
    found = tokens_of(steering, tokenizer)
    usual = [s for s in found.spellings if s.text in cases(s.form)[:2]]
    several = list(
        dict.fromkeys(SPACES[s.space].strip("\n") + s.text for s in usual if not (s.exact and len(s.ids) == 1))
    )
    if several and not partial:
        raise EngineError(
            f"{steering.name}: a server's logit_bias takes single tokens, and {len(several)} spellings take several "
            f"({', '.join(map(repr, several[:3]))}). Use --engine hf or vllm, or steer the single tokens alone."
        )
    whole = set(found.singles) | set(steering.ids)
    if not all(steering.free):  # " checked" holds a marker too
        own = Compiled(steering, tokenizer)
        whole |= set(own.ids(own.automaton.start).tolist())
    ids = sorted(whole - protected_ids(tokenizer))
    if not ids:
        raise EngineError(f"{steering.name}: none of it is a single token of this vocabulary.")
    bias = max(-SERVER_LIMIT, min(SERVER_LIMIT, steering.bias))
    record = {"bias": bias, "n_ids": len(ids), "ids": ids, "n_spellings_left_out": len(several), "in_context": False}
    return dict.fromkeys(ids, bias), {**steering.describe(), **record}


def vllm_arguments(steering: Steering, *, prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments for `vllm.LLM` and for the `SamplingParams` of a request: our own logits processor, which does what hf does.

    vLLM's `bad_words` is not used: it bans one tokenisation of each word, whatever stands before it, and only bans.

    Args:
        prefix: what the response was made to begin with.
    """
    extra = {EXTRA: steering.to_json() | ({"prefix": prefix} if prefix else {})}
    return {"logits_processors": ["epiverb.models.vllm_steering:Steer"]}, {"extra_args": extra}


def tokens_of(steering: Steering, tokenizer: Any) -> TokenSet:
    """The token table of what is steered, for the record."""
    lex = Lexicon(
        name=steering.name, title="", source="", language="en", match="words", reviewed=True,
        forms={"steered": {form: (form,) for form in steering.forms}}, cancel=(), initial=(), standalone=(),
        sha256=steering.sha256 or "",
    )  # fmt: skip
    return resolve(lex, tokenizer, categories=["steered"])
