"""A model that is no folder: a hub that is not there is told at once, and one that is there, or a cache, is used as ever."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from epiverb.errors import EngineError
from epiverb.models import open_engine
from epiverb.models.loading import _source
from tests.models.tiny import tiny_model

pytest.importorskip("huggingface_hub.constants")
import huggingface_hub as hub


@pytest.fixture
def answers(monkeypatch, tmp_path):
    """Let the hub answer by a function, with an empty cache; the requests that it got."""
    asked = []

    def set_(answer):
        def handler(request):
            asked.append(request)
            return answer(request)

        client = httpx.Client(transport=httpx.MockTransport(handler))
        monkeypatch.setattr(hub, "get_session", lambda: client)
        return asked

    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    return set_


def gone(request):
    raise httpx.ConnectError("Name or service not known", request=request)


def slow(request):
    raise httpx.ReadTimeout("slow", request=request)


def test_no_hub_is_one_line_after_one_attempt(answers):
    asked = answers(gone)
    with pytest.raises(
        EngineError, match=r"^there is no folder Qwen/Qwen3-1\.7Bx, and the hub cannot be reached"
    ) as told:
        open_engine("hf", "Qwen/Qwen3-1.7Bx")
    assert "\n" not in str(told.value)
    assert [request.method for request in asked] == ["HEAD"]


@pytest.mark.parametrize("answer", [lambda request: httpx.Response(401), lambda request: httpx.Response(200), slow])
def test_a_hub_that_is_there_is_left_to_its_client(answers, answer):
    asked = answers(answer)
    _source("some/model", None)
    assert str(asked[0].url) == f"{hub.constants.ENDPOINT}/api/models/some/model"


def test_folders_offline_mode_and_names_that_are_none_ask_nothing(answers, monkeypatch, tmp_path):
    asked = answers(gone)
    _source(str(tmp_path), None)
    _source("no name!!", None)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    _source("some/model", None)
    assert asked == []


def test_the_command_is_done_in_seconds(tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    (tmp_path / "p.jsonl").write_text('{"problem_id": "a", "question": "What?", "gold": "4"}\n')
    command = [sys.executable, "-m", "epiverb", "sample", "-m", "Qwen3-1.7Bx", "-d", "p.jsonl", "-o", "out"]
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "there is no folder Qwen3-1.7Bx" in done.stderr
    assert time.monotonic() - start < 40  # the machine may be busy; the client's own attempts take longer still
    assert not (tmp_path / "out").exists()


def test_a_model_in_the_cache_needs_no_hub(answers, tmp_path):
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("a" * 40)
    tiny_model(snapshot)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    asked = answers(gone)
    assert _source("some/model", None) == str(snapshot)
    assert len(asked) == 1
    with pytest.raises(EngineError, match="the hub cannot be reached"):
        _source("some/model", "another-branch")
    code = "from epiverb.models.loading import load_model, load_tokenizer as l; load_model('some/model'); print(len(l('some/model').encode('Wait')))"
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "1", done.stderr
    assert "Retrying" not in done.stderr
