"""Pictures by the SDKs of OpenAI and Anthropic against a real daemon with a tiny model that sees: it says what transformers says, whatever
way a picture came; and with one that reads only.
"""

import base64
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import anthropic
import openai
import pytest

from benchmarks.harness.pictures import picture_url
from mlxd.worker.runtime import start  # noqa: F401 - first of all: OpenBLAS has to be in the process before MLX
from tests.e2e.daemon_process import DaemonProcess
from tests.support.film_files import filmed
from tests.support.patience import PATIENCE
from tests.support.vision_conversations import shown as shown_media
from tests.support.vision_references import PICTURES, checkpoint, references

ARCHITECTURE = "qwen2_vl"
CASES = references(ARCHITECTURE)
WORDS = "What is this?"
SEER = f'[defaults.batching]\nmode = "continuous"\nattention = "rows"\n[models.seer]\nsource = "{checkpoint(ARCHITECTURE)}"\n'
BOTH = SEER + '[models.reader]\nsource = "{dir}/model"\n'
ASK = {"model": "seer", "temperature": 0, "max_tokens": 8}


@contextmanager
def pictures_served():
    """A server of the pictures; yields its port, and what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=PICTURES)

        def log_message(self, *_):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port, asked
        serving.shutdown()


@pytest.fixture(scope="module")
def served():
    with pictures_served() as found:
        yield found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_model, served):
    directory = tmp_path_factory.mktemp("seeing")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, media(served) + BOTH) as started:
        started.wait_ready()
        yield started


def media(served, **limits):
    fields = {"allowed_hosts": f'["localhost:{served[0]}", "*:{served[0]}"]'} | limits
    return "[server.media]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())


@pytest.fixture
def chats(daemon):
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def messages(daemon):
    with anthropic.Anthropic(base_url=daemon.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def greedy():
    """What transformers says, by the case."""
    from mlx_lm.utils import load_tokenizer  # noqa: PLC0415  it imports MLX, and OpenBLAS has to be in the process before

    tokenizer = load_tokenizer(checkpoint(ARCHITECTURE))
    return {name: tokenizer.decode(case.greedy) for name, case in CASES.items()}


def text(words=WORDS):
    return {"type": "text", "text": words}


def inline(picture):
    return base64.b64encode((PICTURES / f"{picture}.png").read_bytes()).decode()


def shown(url):
    return {"type": "image_url", "image_url": {"url": url}}


def sent(picture):
    return shown(f"data:image/png;base64,{inline(picture)}")


def said(client, *parts, **fields):
    answer = client.chat.completions.create(**ASK | fields, messages=[{"role": "user", "content": list(parts)}])
    return answer.choices[0].message.content, answer.usage


def test_it_says_what_transformers_says_and_knows_pictures_again(chats, greedy, served):
    port, asked = served
    first, usage = said(chats, sent("red"), text())
    assert (first, usage.prompt_tokens) == (greedy["picture"], len(CASES["picture"].tokens))
    again, usage = said(chats, shown(f"http://localhost:{port}/red.png?signature=sesame"), text())
    assert (again, usage.prompt_tokens_details.cached_tokens >= 48) == (first, True)
    assert asked[-1] == "/red.png?signature=sesame"
    other, usage = said(chats, sent("blue"), text())
    assert (other, usage.prompt_tokens_details.cached_tokens <= 34) == (greedy["other_picture"], True)
    assert said(chats, sent("red"), text("and"), sent("small"), text("compare."))[0] == greedy["two_pictures"]
    stream = chats.chat.completions.create(**ASK, messages=[{"role": "user", "content": [sent("red"), text()]}], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == first


def test_other_apis_say_the_same(chats, messages, greedy):
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": sent("red")["image_url"]["url"], "detail": "auto"}, text()]}]
    items[0]["content"][1]["type"] = "input_text"
    response = chats.responses.create(model="seer", temperature=0, max_output_tokens=8, input=items)
    assert (response.output_text, response.usage.input_tokens) == (greedy["picture"], len(CASES["picture"].tokens))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": inline("red")}}
    turn = {"role": "user", "content": [image, text()]}
    answer = messages.messages.create(model="seer", max_tokens=8, messages=[turn], extra_body={"temperature": 0})
    assert answer.content[0].text == greedy["picture"]
    counted = messages.messages.count_tokens(model="seer", messages=[turn]).input_tokens
    assert counted == answer.usage.input_tokens + answer.usage.cache_read_input_tokens == len(CASES["picture"].tokens)


def frames(count):
    media = shown_media({"type": "video", "picture": "clip", "frames": count, "fps": 2.0})
    return [f"data:image/png;base64,{base64.b64encode(frame).decode()}" for frame in media.files]


@pytest.mark.parametrize(("case", "count", "fps"), [("video", 4, 2), ("slow_video", 4, 1), ("odd_video", 5, 2)])
def test_frames_of_a_film_in_a_list_and_in_one_url(chats, greedy, case, count, fps):
    answer, usage = said(chats, {"type": "video", "video": frames(count), "fps": fps}, text())
    assert (answer, usage.prompt_tokens) == (greedy[case], len(CASES[case].tokens))
    several = "data:video/jpeg;base64," + ",".join(url.partition(",")[2] for url in frames(count))
    assert said(chats, {"type": "video_url", "video_url": {"url": several, "fps": fps}}, text())[0] == answer


def test_a_film_is_looked_at_as_it_is_asked(chats, messages):
    film = base64.b64encode(filmed(frames=30, rate=10)).decode()  # of three seconds

    def asked(**fields):
        part = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{film}"}} | fields
        return said(chats, part, text())[1]

    usual, slow, few = asked(fps=2), asked(fps=1), asked(fps=2, max_frames=2)
    assert usual.prompt_tokens > slow.prompt_tokens >= few.prompt_tokens
    assert asked(fps=2).prompt_tokens_details.cached_tokens > slow.prompt_tokens_details.cached_tokens
    block = {"type": "video", "source": {"type": "base64", "media_type": "video/mp4", "data": film}, "fps": 2}
    counted = messages.messages.count_tokens(model="seer", messages=[{"role": "user", "content": [block, text()]}])
    assert counted.input_tokens == usual.prompt_tokens


HOSTILE = [
    lambda port: shown("data:image/png;base64,PGh0bWw+"),
    lambda port: shown(f"data:image/png;base64,{inline('red')[:100]}"),
    lambda port: shown(f"http://localhost:{port}/none.png"),
    lambda port: shown(f"http://localhost:{port}/"),
    lambda port: shown(f"http://127.0.0.1:{port}/red.png"),
    lambda port: shown(f"http://[::1]:{port}/red.png"),
    lambda port: shown("http://169.254.169.254/latest/meta-data/"),
    lambda port: shown("file:///etc/passwd"),
    lambda port: {"type": "video_url", "video_url": {"url": sent("red")["image_url"]["url"].replace("image/png", "video/mp4")}},
]


def test_what_cannot_be_seen_is_refused_by_its_place_and_the_next_is_served(chats, greedy, served):
    port, asked = served
    before = list(asked)
    for number, part in enumerate(HOSTILE):
        with pytest.raises(openai.BadRequestError) as refused:
            said(chats, text(), part(port))
        assert refused.value.param.startswith("messages[0].content[1]."), number
    assert {*asked[len(before) :]} == {"/none.png", "/"}
    assert said(chats, sent("red"), text())[0] == greedy["picture"]


def test_a_model_that_reads_only_refuses_by_name(chats, served):
    _, asked = served
    before = list(asked)
    with pytest.raises(openai.BadRequestError) as refused:
        said(chats, text(), shown(f"http://localhost:{served[0]}/red.png"), model="reader")
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "messages[0].content[1].image_url.url")
    assert asked == before
    known = {one.id: one.capabilities for one in chats.models.list()}
    assert [known[name]["images"] for name in ("seer", "reader")] == [True, False]


def test_limits_count_from_the_reload_on(daemon, chats, greedy, served):
    assert daemon.reload(media(served, max_pixels=100, max_images=1) + BOTH)[0] == 200
    with pytest.raises(openai.BadRequestError, match="pixels"):
        said(chats, sent("red"), text())
    with pytest.raises(openai.BadRequestError, match=r"server\.media\.max_images"):
        said(chats, sent("red"), sent("blue"))
    assert daemon.reload(media(served) + BOTH)[0] == 200
    assert said(chats, sent("red"), text())[0] == greedy["picture"]


def test_in_company_each_is_answered_as_alone(daemon, chats):
    asked = [[text(), *(sent(name) for name in ("red", "blue", "small", "tall", "wide", "red"))]]
    asked += [[sent(name), text("Which one?")] for name in ("red", "blue", "wide")]
    asked += [[text(f"Number {number}.")] for number in range(4)]
    alone = [said(chats, *parts) for parts in asked]
    daemon.admin("/admin/v1/models/seer/evict", "POST")
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda parts: said(chats, *parts), asked))
    assert [(answer, usage.prompt_tokens) for answer, usage in together] == [(answer, usage.prompt_tokens) for answer, usage in alone]


def test_ten_who_show_one_picture_have_it_encoded_once(daemon, chats):
    before = encoded(daemon)
    url = picture_url("that nobody has shown yet")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: said(chats, text(f"User {number}."), shown(url)), range(10)))
    assert encoded(daemon) == before + 1


def encoded(daemon):
    """How many pictures and films the model has encoded: what it is asked to forget comes with its figures."""
    assert daemon.admin("/admin/v1/models/seer/evict", "POST")[0] == 200
    return daemon.admin("/admin/v1/models/seer")[1]["cache"]["media"]["encoded"]
