"""Banned markers do not appear in what a model samples, by the matcher's own count; words that contain them still do."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import torch

from epiverb.errors import ConfigError, EngineError, LexiconError
from epiverb.models.base import Request, Row, Sampling
from epiverb.models.hf import HF
from epiverb.models.pieces import protected_ids, token_bytes
from epiverb.models.processors import SteeringProcessor
from epiverb.models.steering import (
    Compiled,
    Steering,
    processor,
    server_bias,
    steer,
    steer_ids,
    steer_words,
    tokens_of,
    vllm_arguments,
)
from epiverb.text import lexicon as lexicons
from epiverb.text.match import Matcher
from tests.models.vocabularies import KINDS, lexicon, tokenizer

MARKERS = lexicon(
    reconsideration=["wait", "hold on", "hmm"], verification=["check"], uncertainty=["maybe", "likely", "might", "perhaps"],
    alternative=["alternatively"],
)  # fmt: skip
TEXTS = ("wait", "hold on", "hmm", "check", "maybe", "likely", "might", "perhaps", "alternatively")
AROUND = ("checkerboard", "checked", "waiting", "unlikely", "await", "hold", "on")


def hits(texts: list[str], lex: Any = MARKERS) -> list[str]:
    """Markers that the matcher finds."""
    null = [None] * len(texts)
    places = {name: pl.Series(null, dtype=pl.Int64) for name in ("thinking_start", "thinking_end", "loop_start")}
    frame = pl.DataFrame(
        {"trace_id": [str(i) for i in range(len(texts))], "response": texts, "prompt": pl.Series(null, dtype=pl.String)}
        | places
    )
    return Matcher([lex]).hits(frame)["marker"].to_list()


class Speller:
    """A stand-in for a model: sets out to write a word, in whatever tokens it may be cut into, and then another one."""

    def __init__(self, own: Any, seed: int) -> None:
        self.ids: dict[str, list[int]] = {}
        names = own.convert_ids_to_tokens(list(range(len(own))))
        for i, piece in enumerate(token_bytes(own)):
            # Loose bytes that make no character: each becomes a replacement character, also where it is a letter's.
            if i not in protected_ids(own) and not names[i].startswith("<0x"):
                self.ids.setdefault(piece.decode(errors="replace"), []).append(i)
        self.pieces = {i: piece for piece, several in self.ids.items() for i in several}
        self.size = len(own)
        self.rng = random.Random(seed)
        self.goal = ""

    def logits(self) -> torch.Tensor:
        """High for every token that begins what is left of the word."""
        if not self.goal.strip():
            word = self.rng.choice((*TEXTS, *AROUND, "hold on", "hold on"))
            self.goal = (
                self.rng.choice((" ", " ", "\n", "")) + self.rng.choice((word, word.capitalize(), word.upper())) + " "
            )
        scores = torch.full((self.size,), -20.0)
        scores[list(self.pieces)] = 0.0
        for n in range(1, len(self.goal)):
            for i in self.ids.get(self.goal[:n], ()):
                scores[i] = 10.0 + self.rng.random()
        for i in self.ids.get(self.goal, ()):
            scores[i] = 10.0
        return scores

    def told(self, token: int) -> None:
        """What was chosen: the word goes on, or is given up."""
        piece = self.pieces[token]
        self.goal = self.goal[len(piece) :] if piece and self.goal.startswith(piece) else ""


def babble(
    own: Any, steering: Steering | None, *, rows: int = 8, steps: int = 80, seed: int = 0
) -> tuple[list[str], Any]:
    """Texts of several `Speller`s under a steering, sampled token by token through the logits processor; and that."""
    spellers, rng = [Speller(own, seed + j) for j in range(rows)], torch.Generator().manual_seed(seed)
    acts = processor(steering, own) if steering else None
    prompt = own.encode("So we go on.", add_special_tokens=False)
    ids = torch.tensor([prompt] * rows)
    if acts:
        acts.begin([Row("k", j, len(prompt)) for j in range(rows)])
    for _ in range(steps):
        scores = torch.stack([speller.logits() for speller in spellers])
        if acts:
            scores = acts(ids, scores)
        chosen = torch.multinomial(scores.softmax(-1), 1, generator=rng)[:, 0].tolist()
        for speller, token in zip(spellers, chosen, strict=True):
            speller.told(token)
        ids = torch.cat([ids, torch.tensor(chosen)[:, None]], 1)
    return [own.decode(row[len(prompt) :].tolist()) for row in ids], acts


@pytest.mark.parametrize("kind", KINDS)
def test_banned_markers_never_appear_in_any_tokenisation(kind: str) -> None:
    own = tokenizer(kind)
    free = hits(babble(own, None)[0])
    banned, acts = babble(own, steer(MARKERS, "ban"))
    assert set(free) >= {"wait", "check", "maybe", "hold on"}
    assert len(free) > 25
    assert hits(banned) == []
    assert acts.total["n_acted"] > 5


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_words_that_contain_a_marker_still_appear(kind: str) -> None:
    own = tokenizer(kind)
    words = set(" ".join(babble(own, steer(MARKERS, "ban"), rows=12)[0]).lower().split())
    assert {"unlikely", "await", "hold", "on"} <= words
    # Where the vocabulary cuts inside the marker ("checker", "board") or has the whole word, nothing stands in its way.
    whole = Compiled(steer(MARKERS, "ban"), own)
    for word in (" checkerboard", " checked"):
        state, blocked = whole.automaton.start, False
        for i in own.encode("the" + word, add_special_tokens=False):
            blocked |= i in whole.ids(state)
            state = whole.automaton.read(state, token_bytes(own)[i])
        assert not blocked, word


def test_a_lexicon_that_is_counted_inside_words_can_be_banned_there() -> None:
    own = tokenizer("byte-level")
    substring = lexicon("substring", verification=["check"], uncertainty=["likely"])
    freely = babble(own, steer(substring, "ban", inside_words=False))[0]
    assert hits(freely, substring) != []  # unlikely, checked, ...
    assert hits(freely, replace(substring, match="words")) == []
    assert hits(babble(own, steer(substring, "ban"))[0], substring) == []
    assert steer(substring, "ban").describe()["n_inside_words"] == 2


def test_penalise_makes_rarer_and_boost_likelier() -> None:
    own = tokenizer("byte-level")
    count = {action: len(hits(babble(own, steer(MARKERS, action, 6.0))[0])) for action in ("penalise", "boost")}
    plain = len(hits(babble(own, None)[0]))
    assert count["penalise"] < 0.7 * plain < plain < count["boost"]


def test_the_bias_is_exact_and_touches_nothing_else() -> None:
    own = tokenizer("byte-level")
    steering = steer(MARKERS, "penalise", 1.5)
    ids = torch.tensor([own.encode("let me hold", add_special_tokens=False)])
    scores = torch.randn(1, len(own))
    change = processor(steering, own)(ids, scores.clone()) - scores
    pieces = token_bytes(own)
    touched = {i for i in range(len(own)) if change[0, i] != 0}
    assert [change[0, i].item() for i in sorted(touched)] == pytest.approx([-1.5] * len(touched), abs=1e-5)
    assert b" on" in {pieces[i] for i in touched}
    assert b" on" not in {pieces[i] for i in Compiled(steering, own).ids(Compiled(steering, own).automaton.start)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_the_turn_and_the_tags_are_never_touched(kind: str) -> None:
    own = tokenizer(kind)
    kept = protected_ids(own)
    lex = lexicon(uncertainty=["think", "eos", "<eos>", "</think>"])
    steering = replace(steer(lex, "ban"), ids=tuple(range(len(own))))
    changed = processor(steering, own)(torch.tensor([[5]]), torch.zeros(1, len(own)))
    assert {i for i in range(len(own)) if changed[0, i] == 0} == set(kept)


def test_rows_do_not_hear_of_each_other() -> None:
    own = tokenizer("byte-level")
    acts = processor(steer(MARKERS, "ban"), own)
    texts = ["let me che", "hold", "a b c d e f", "un"]
    encoded = [own.encode(text, add_special_tokens=False) for text in texts]
    width = max(map(len, encoded))
    ids = torch.tensor([[own.pad_token_id] * (width - len(e)) + e for e in encoded])
    scores = torch.randn(4, len(own))
    together = acts(ids, scores)
    for i, row in enumerate(encoded):
        alone = processor(steer(MARKERS, "ban"), own)(torch.tensor([row]), scores[i : i + 1])
        assert torch.equal(together[i], alone[0])


def test_rows_may_leave_and_keep_their_counts() -> None:
    own = tokenizer("byte-level")
    acts = processor(steer(MARKERS, "ban"), own)
    rows = [Row("a", 0, 1), Row("a", 1, 1), Row("b", 0, 1)]
    favourite = torch.zeros(3, len(own))
    check = own.encode(" check", add_special_tokens=False)
    assert len(check) == 1
    favourite[1:, check[0]] = 5.0
    acts.begin(rows)
    ids = torch.full((3, 1), 9)
    acts(ids, favourite)
    ids = torch.cat([ids, torch.tensor([[9], [9], [9]])], 1)[1:]
    acts.begin(rows[1:])
    acts(ids, favourite[1:])
    assert [acts.report(row)["n_steered"] for row in rows[1:]] == [2, 2]
    # Decoded once more from its beginning (a batch that did not fit): counted once.
    acts.begin(rows[1:])
    acts(ids[:, :1], favourite[1:])
    assert acts.report(rows[1])["n_steered"] == 1


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> HF:
    from tests.models.tiny import tiny_model

    likely = {"Wait": 3.0, " check": 3.0, "Hmm": 3.0}
    return HF(str(tiny_model(tmp_path_factory.mktemp("tiny") / "qwen3", likely=likely)), device="cpu")


def sampled(engine: HF, steering: Steering | None, **sampling: Any) -> list[Any]:
    engine.processors = [processor(steering, engine.tokenizer, engine.eos)] if steering else []
    requests = [Request("a", text="What is 12 + 30? "), Request("b", text="So the final answer is")]
    asked = Sampling(**{"n": 8, "max_tokens": 120, "seed": 3, **sampling})
    return sorted(engine.generate(requests, asked), key=lambda c: (c.key, c.sample))


def test_the_engine_bans_counts_and_reports(engine: HF) -> None:
    lex = replace(lexicons.load("kim2026"), match="words")
    free, banned = sampled(engine, None), sampled(engine, steer(lex, "ban"))
    assert len(hits([c.text for c in free], lex)) > 8
    assert hits([c.text for c in banned], lex) == []
    assert {(c.extra["steering"], c.extra["steered"]) for c in banned} == {("ban", "kim2026")}
    total = engine.processors[0].describe()
    assert sum(c.extra["steered_mass"] for c in banned) == pytest.approx(total["steered_mass"])
    assert sum(c.extra["n_steered"] for c in banned) == total["n_acted"]
    assert total["n_steps"] == sum(c.n_tokens + (c.finish_reason == "stop") for c in banned)
    assert total["lexicon_sha256"] == lex.sha256
    assert any(c.finish_reason == "stop" for c in banned) == any(c.finish_reason == "stop" for c in free)


def test_a_boost_raises_markers_in_the_engine(engine: HF) -> None:
    lex = replace(lexicons.load("kim2026"), match="words")
    counts = [len(hits([c.text for c in sampled(engine, s)], lex)) for s in (None, steer(lex, "boost", 2.0))]
    assert counts[1] > 2 * counts[0]


def test_a_sample_is_the_same_in_any_batch(engine: HF) -> None:
    whole = sampled(engine, steer(MARKERS, "ban"))
    engine.processors = [processor(steer(MARKERS, "ban"), engine.tokenizer, engine.eos)]
    (alone,) = engine.generate(
        [Request("b", text="So the final answer is", first=2, n=1)], Sampling(max_tokens=120, seed=3)
    )
    assert alone.text == next(c.text for c in whole if (c.key, c.sample) == ("b", 2))


def test_a_prefix_is_part_of_the_text_that_is_watched(engine: HF) -> None:
    engine.processors = [processor(steer(MARKERS, "ban"), engine.tokenizer, engine.eos)]
    request = Request("a", text="What is 12 + 30? ", prefix="let me che", n=8)
    assert all(not hits([c.text]) for c in engine.generate([request], Sampling(max_tokens=40, temperature=3.0)))


@pytest.mark.parametrize(
    ("action", "amount", "words"),
    [
        ("bann", None, "Did you mean 'ban'"),
        ("penalise", None, "needs an amount"),
        ("boost", -1.0, "needs an amount"),
        ("ban", 3.0, "takes no amount"),
    ],
)
def test_a_wrong_action_or_amount_is_refused(action: str, amount: float | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        steer(MARKERS, action, amount)


def test_categories_are_chosen_and_checked() -> None:
    assert steer(MARKERS, "ban", categories=["verification"]).forms == ("check",)
    with pytest.raises(ConfigError, match="Did you mean 'verification'"):
        steer(MARKERS, "ban", categories=["verificaton"])
    with pytest.raises(LexiconError, match="none of its markers"):
        steer(lexicon(booster=["clearly"]), "ban")


def test_what_cannot_be_steered_is_counted_with_its_reason() -> None:
    steering = steer(lexicons.load("epiverb-ko"), "ban")
    assert set(steering.left_out) == {"음", "흠", "으음"}
    assert "beyond ASCII" in steering.describe()["left_out"]["음"]
    english = steer(lexicons.load("epiverb-en"), "ban")
    assert english.left_out == {}
    assert "check" in english.conditional


def test_all_shipped_lexicons_can_be_banned_in_characters_of_several_tokens() -> None:
    own = tokenizer("byte-level")
    steering = steer(lexicons.load("epiverb-zh"), "ban")
    whole = Compiled(steering, own)
    marker = "等等".encode()
    last = next(i for i, piece in enumerate(token_bytes(own)) if piece == marker[-1:])
    assert last in whole.ids(whole.automaton.read(whole.automaton.start, "好的 ".encode() + marker[:-1]))
    assert last not in whole.ids(whole.automaton.read(whole.automaton.start, "好的 ".encode()))


def test_a_server_takes_single_tokens_or_is_told_no() -> None:
    own = tokenizer("byte-level")
    lex = lexicon(reconsideration=["wait", "hold on"])
    with pytest.raises(EngineError, match=r"logit_bias takes single tokens.*hold on"):
        server_bias(steer(lex, "ban"), own)
    bias, record = server_bias(steer(lex, "ban"), own, partial=True)
    assert {own.decode([i]).strip().lower() for i in bias} == {"wait"}
    assert set(bias.values()) == {-100.0}
    assert record["n_spellings_left_out"] > 0
    with pytest.raises(EngineError, match="none of it is a single token"):
        server_bias(steer(lexicon(reconsideration=["hold on"]), "ban"), own, partial=True)


def test_a_steering_travels_to_a_worker_as_plain_values() -> None:
    steering = steer(MARKERS, "penalise", 2.0)
    llm, sampling = vllm_arguments(steering, prefix="let me ")
    assert llm == {"logits_processors": ["epiverb.models.vllm_steering:Steer"]}
    sent = sampling["extra_args"]["epiverb_steering"]
    assert Steering.from_json(sent).forms == steering.forms
    assert Steering.from_json(steer(MARKERS, "ban").to_json()).amount == math.inf


def test_control_words_and_tokens_are_steered_alike() -> None:
    own = tokenizer("byte-level")
    control = steer_words(["rook", "answer"], "ban", name="matched-own")
    assert hits(babble(own, control)[0], lexicon(procedural=["rook", "answer"])) == []
    table = tokens_of(control, own)
    assert {s.marker for s in table.spellings} == {"rook", "answer"}
    changed = processor(steer_ids([40, 41], "boost", 1.0, name="random"), own)(
        torch.tensor([[5]]), torch.zeros(1, len(own))
    )
    assert changed.nonzero()[:, 1].tolist() == [40, 41]


def test_it_is_a_logits_processor_of_transformers(engine: HF) -> None:
    from transformers import LogitsProcessorList

    acts = processor(steer(MARKERS, "ban"), engine.tokenizer)
    assert isinstance(acts, SteeringProcessor)
    ids = engine.tokenizer("What is 12 + 30?", return_tensors="pt")["input_ids"]
    torch.manual_seed(0)
    out = engine.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=True, num_return_sequences=8, max_new_tokens=80,
        logits_processor=LogitsProcessorList([acts]),
    )  # fmt: skip
    assert hits([engine.tokenizer.decode(row[ids.shape[1] :], skip_special_tokens=True) for row in out]) == []
