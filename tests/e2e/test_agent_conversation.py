"""Ten turns of an agent: from the second one on, what was sent before is cached, whatever line its client puts at the head."""

import shutil

import pytest

from tests.e2e.agent_conversation import Chat, Messages, Responses
from tests.e2e.daemon_process import DaemonProcess
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_model import make_tiny_model
from tests.unit.worker_text.conversations import TEMPLATES

BLOCK = 16
OPENER = len(
    "|assistant\n<think>\n\n</think>\n\n"
)  # tokens that open an answer, and are written anew where the conversation goes on: | is one
CONTEXT = {"max_position_embeddings": 20_000}
MODELS = {"paged": CONTEXT, "hybrid": ARCHITECTURES["qwen3_next"].config | CONTEXT}
TOML = '[defaults.batching]\nmode = "continuous"\n[defaults.cache]\nmemory = "64MiB"\n' + "".join(
    f'[models.{name}]\nsource = "{{dir}}/{name}"\n' for name in MODELS
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    directory = tmp_path_factory.mktemp("agent")
    for name, config in MODELS.items():
        shutil.copy(TEMPLATES / "qwen3.jinja", make_tiny_model(directory / name, **config) / "chat_template.jinja")
    with DaemonProcess(directory, TOML) as started:
        started.wait_ready()
        yield started


# What a client puts at the head is the API's affair, and how what is known is found again a model's.
@pytest.mark.parametrize(("model", "dialect"), [("paged", Messages), ("paged", Responses), ("paged", Chat), ("hybrid", Messages)])
def test_only_what_is_new_is_computed(daemon, model, dialect):
    assert daemon.model(model)["runner"]["name"] == "paged"
    conversation, before = dialect(model), 0
    for turn in range(10):
        prompt, cached = conversation.ask(daemon)
        assert prompt > 5_000
        assert cached >= before - BLOCK, f"turn {turn}: {cached} of {prompt} were cached, and {before} had been sent before"
        before = prompt - OPENER
