"""A small HTTP server that answers as an OpenAI-compatible one does, and can be full, slow, broken, strict, and gone."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fake:
    """An endpoint whose next answers can be scripted; it remembers what it was asked."""

    def __init__(self, owner="somebody", window=None):
        self.script, self.asked, self.times, self.headers = [], [], [], []
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.entry = {"id": "tiny", "owned_by": owner, **({"max_model_len": window} if window else {})}
        self.answer = self.chat
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    @staticmethod
    def chat(body):
        """A chat answer: one choice a sample, its text telling the seed."""
        texts = [f"seed {body['seed'] + i}" for i in range(body.get("n", 1))]
        choices = [{"index": i, "message": {"content": text}, "finish_reason": "stop"} for i, text in enumerate(texts)]
        return {"model": "tiny-2026", "choices": choices, "usage": {"completion_tokens": 5}}

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def _handler(fake):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                self.send(200, {"data": [fake.entry]} if self.path == "/v1/models" else {})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.lock:
                    fake.asked.append((self.path, body))
                    fake.times.append(time.monotonic())
                    fake.headers.append(dict(self.headers))
                    step = fake.script.pop(0) if fake.script else None
                    fake.running += 1
                    fake.most = max(fake.most, fake.running)
                try:
                    self.play(step, body)
                finally:
                    with fake.lock:
                        fake.running -= 1

            def play(self, step, body):
                if step is None:
                    self.send(200, fake.answer(body))
                elif callable(step):
                    self.send(200, step(body))
                elif step == "hang up":
                    self.close_connection = True
                    self.connection.close()
                elif step == "half":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"choices": [')
                    self.close_connection = True
                elif isinstance(step, bytes):
                    self.send(200, step)
                elif isinstance(step, float):
                    time.sleep(step)
                    self.send(200, fake.answer(body))
                else:
                    self.send(*step)

            def send(self, status, body, headers=()):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may be gone
                    self.wfile.write(data)

        return Handler
