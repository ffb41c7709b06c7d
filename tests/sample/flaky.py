"""An engine that fails on demand: what a real one cannot be made to show."""

from __future__ import annotations

from epiverb.errors import EngineError
from epiverb.models.base import Completion

STATE = {"left": 10**9, "asked": [], "fault": None}
"""Completions until the engine is gone; the requests it was given; what is wrong with every answer."""


class Flaky:
    name = "flaky"
    window = None

    def __init__(self, model):
        self.used = {"engine": "flaky", "model": model}

    def generate(self, requests, sampling):
        for request in requests:
            for sample in range(request.first, request.first + (request.n or sampling.n)):
                if STATE["left"] == 0:
                    raise EngineError("http://127.0.0.1:8000: the server is gone.")
                STATE["left"] -= 1
                STATE["asked"].append((request.key, sample))
                if STATE["fault"]:
                    yield Completion(request.key, sample, "p", "", None, "error", error=STATE["fault"])
                else:
                    text = f"Wait \udc80 {request.key} {sample} {sampling.seed} \\boxed{{4}}."
                    yield Completion(request.key, sample, "p", text, None, "stop", 7)

    def count_tokens(self, texts):
        return None

    def render(self, request):
        return None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


class Addressed(Flaky):
    def __init__(self, model, *, url):
        assert url == "http://me:secret@127.0.0.1:8000/v1"
        super().__init__(model)
