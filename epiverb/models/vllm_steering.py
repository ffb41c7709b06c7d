"""Steering inside vLLM: the same automaton as a logits processor of its engine, for both of its model runners.

vLLM has two interfaces: one object of the older runner is told of every change to the batch, one of Model Runner V2 looks
requests up by slot. `Steer` is both; `LLM(logits_processors=[...])` is given its name. A request is steered where
its `SamplingParams.extra_args` say so. Counts stay in the worker: a completion of vLLM does not tell how often it acted.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from epiverb.models.automaton import ROOT
from epiverb.models.steering import EXTRA, Compiled, Steering


def steered(params: Any) -> Steering | None:
    """The steering that sampling parameters ask for; None where they do not.

    Raises:
        ValueError: it is not what `Steering.to_json` writes (vLLM answers the request with that).
    """
    data = (params.extra_args or {}).get(EXTRA)
    if data is None:
        return None
    try:
        return Steering.from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"extra_args[{EXTRA!r}] is no steering: {error!r}") from error


@lru_cache(maxsize=4)
def _compiled(data: str, model: str, revision: str | None, trust: bool) -> Compiled:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=trust)
    return Compiled(Steering.from_json(json.loads(data)), tokenizer)


def compiled(steering: Steering, config: Any) -> Compiled:
    """The steering for the vocabulary of a worker's model; computed once."""
    model = config.model_config
    data = json.dumps(steering.to_json(), sort_keys=True)
    return _compiled(data, model.tokenizer, model.tokenizer_revision, model.trust_remote_code)


class RowSteering:
    """One request: its steering, and the state of its text."""

    def __init__(self, own: Compiled, bias: float, prefix: str = "") -> None:
        self.own, self.bias = own, bias
        whole = prefix.encode()
        tail = whole[-own.automaton.depth - 2 :]
        self._begin = own.automaton.read(own.automaton.start if tail == whole else ROOT, tail)
        self._state, self._read = self._begin, 0

    def __call__(self, output_ids: Any, logits: Any) -> Any:
        """`logits` (V,) with the bias added, behind the tokens generated so far."""
        import torch

        if len(output_ids) < self._read:  # preempted, and generated again
            self._state, self._read = self._begin, 0
        for token in output_ids[self._read :]:
            self._state = int(self.own.advance(np.array([self._state]), np.array([int(token)]))[0])
        self._read = len(output_ids)
        ids = self.own.ids(self._state)
        logits[torch.from_numpy(ids[ids < logits.shape[-1]]).to(logits.device)] += self.bias
        return logits


class Slots:
    """What Model Runner V2 asks of a processor, apart from its base class: a steering a slot, looked up by row."""

    def __init__(self, config: Any, states: Any) -> None:
        self._config, self._states = config, states
        self._rows: dict[int, RowSteering] = {}

    def add(self, slot: int, params: Any) -> bool:
        """A request enters a slot, whoever had it before; whether it is steered."""
        self._rows.pop(slot, None)
        if row := row_steering(params, self._config):
            self._rows[slot] = row
        return row is not None

    def apply(self, logits: Any, context: Any) -> Any:
        """`logits` (rows, V) with the bias added in the rows of steered requests."""
        if len(logits) != len(context.idx_mapping_np):
            raise ValueError("steering does not work with speculative decoding: a request has several rows there.")
        for row, (slot, place) in enumerate(zip(context.idx_mapping_np.tolist(), context.pos.tolist(), strict=True)):
            if slot in self._rows:
                start = int(self._states.prompt_len.np[slot])
                self._rows[slot](self._states.all_token_ids.gpu[slot, start : place + 1].tolist(), logits[row])
        return logits


def row_steering(params: Any, config: Any) -> RowSteering | None:
    """The steering of a request with these parameters; None where they ask for none."""
    asked = steered(params)
    if asked is None:
        return None
    return RowSteering(compiled(asked, config), asked.bias, params.extra_args[EXTRA].get("prefix", ""))


@lru_cache(maxsize=1)
def _steer() -> type:
    from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

    bases: tuple[type, ...] = (AdapterLogitsProcessor,)
    try:
        from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

        bases += (LogitsProcessor,)
    except ImportError:  # a vLLM that has the older runner only
        pass

    def init(self: Any, vllm_config: Any, *rest: Any) -> None:
        # The older runner gives a device and a flag, Model Runner V2 the states of its requests.
        self._config = vllm_config
        self._slots = Slots(vllm_config, rest[0]) if len(rest) == 1 else None
        self.req_info = {}

    def apply(self: Any, logits: Any, context: Any = None) -> Any:
        return AdapterLogitsProcessor.apply(self, logits) if self._slots is None else self._slots.apply(logits, context)

    def validate_params(cls: Any, sampling_params: Any) -> None:
        steered(sampling_params)

    members = {
        "__init__": init,
        "apply": apply,
        "validate_params": classmethod(validate_params),
        "is_argmax_invariant": lambda self: False,
        "new_req_logits_processor": lambda self, params: row_steering(params, self._config),
        "add_request": lambda self, req_idx, sampling_params: self._slots.add(req_idx, sampling_params),
        "__doc__": "Steering as a logits processor of vLLM, for either of its model runners.",
        "__module__": __name__,
    }
    return type("Steer", bases, members)


def __getattr__(name: str) -> Any:
    # vLLM is imported only where vLLM asks for the class.
    if name == "Steer":
        return _steer()
    raise AttributeError(name)
