"""Large bodies of every shape, and the process that sends one: what it takes to make and to send must not slow who measures."""

import http.client
import json
import sys
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

_MIB = 2**20
_WORD = "word "


def _chat(messages: bytes) -> bytes:
    return b'{"model":"other","max_tokens":1,"messages":[' + messages + b"]}"


def _said(text: str) -> bytes:
    return json.dumps({"role": "user", "content": text}).encode()


def _messages(count: int, size: int) -> bytes:
    return _chat(b",".join([_said("x" * size)] * count))


def _pictures(count: int, size: int) -> bytes:
    shown = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + b"QUJD" * (size // 4) + b'"}}'
    return _chat(b'{"role":"user","content":[' + b",".join([shown] * count) + b"]}")


def _biases(count: int) -> bytes:
    biases = b",".join(b'"%d":1' % token for token in range(count))
    return _chat(_said("hi"))[:-1] + b',"logit_bias":{' + biases + b"}}"


def _token_ids(count: int) -> bytes:
    return b'{"model":"other","max_tokens":1,"prompt":[' + b",".join([b"12345"] * count) + b"]}"


BODIES: Mapping[str, Callable[[], bytes]] = {
    "a short request": lambda: _chat(_said("hi")),
    "small messages, 29 MiB": lambda: _messages(800_000, 2),
    "text parts, 30 MiB": lambda: _chat(b'{"role":"user","content":[' + b",".join([b'{"type":"text","text":"a"}'] * 1_100_000) + b"]}"),
    "token ids, 30 MiB": lambda: _token_ids(5_000_000),
    "logit_bias, 16 MiB": lambda: _biases(1_500_000),
    "9,000 messages, 30 MiB": lambda: _messages(9_000, 3_400),
    "one text, 31 MiB": lambda: _chat(_said(_WORD * (31 * _MIB // len(_WORD)))),
    "one picture, 30 MiB": lambda: _pictures(1, 30 * _MIB),
    "60 pictures, 30 MiB": lambda: _pictures(60, _MIB // 2),
    "one text of line breaks, 30 MiB": lambda: _chat(_said("\n" * 15 * _MIB)),
    "one text of escaped emoji, 30 MiB": lambda: _chat(_said("\U0001f600" * (5 * _MIB // 2))),
    "1,000,000 token ids, 6 MiB": lambda: _token_ids(1_000_000),
    "39,000 text parts, 1 MiB": lambda: _chat(b'{"role":"user","content":[' + b",".join([b'{"type":"text","text":"a"}'] * 39_000) + b"]}"),
    "16,000 biases": lambda: _biases(16_000),
}


def main() -> None:
    """``KIND URL``: makes one, says so, and sends it once it is told to; prints the size in bytes, the status and the seconds until the
    answer.
    """
    kind, url = sys.argv[1:]
    body = BODIES[kind]()
    path = "/v1/completions" if b'"prompt"' in body[:100] else "/v1/chat/completions"
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    print("made", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    print(json.dumps({"size": len(body), "status": answer.status, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
