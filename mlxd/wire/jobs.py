"""What a worker is asked to do for a request: its jobs."""

import msgspec

from mlxd.types import SamplingParams, Stopping, Task
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import Prompt, TextPrompt, TokenPrompt


class _Job(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A job, tagged by its class name: it is a message of its own."""


class Generate(_Job, frozen=True, kw_only=True):
    """An answer to a prompt. ``id`` is unique among the requests of this worker."""

    id: str
    prompt: Prompt
    sampling: SamplingParams
    max_tokens: int | None  # None: up to the end of the context; 0: the prompt is computed, and nothing said but its echo
    stopping: Stopping = Stopping()
    output: OutputSpec = OutputSpec()
    priority: int | None = None  # lower goes first; None: nobody asked, and it is 0
    salt: str = ""  # of those with whom it shares what the prefix cache has; empty: with all who have none
    holder: str = ""  # the name of the key by which it is asked, if that has one: its share of the cache is what the request takes
    parent: str | None = None  # names the HTTP request where it asks for several jobs: these take the device's time as one
    behind: int = 0  # jobs of the same HTTP request that come right behind this one: it is refused unless there is room for them, too
    adapter: str = ""  # the name of the one to answer with; empty: the model as it is


class Embed(_Job, frozen=True, kw_only=True):
    """Vectors of texts. They come in ``Embedded``, in any order; ``id`` is unique among the requests of this worker."""

    id: str
    inputs: list[TextPrompt | TokenPrompt]
    dimensions: int | None = None  # to which vectors are shortened; None: all that the model makes
    truncate: bool = False  # what is too long is cut at its end; else it is an error
    most_tokens: int | None = None  # at which it is cut, with the tokenizer's own; None: at the model's limit
    prompt_name: str | None = None  # of the model's own prompts, the one that goes before each text; empty: none does
    priority: int | None = None  # lower goes first; None: nobody asked, and it is 0
    holder: str = ""  # the name of the key by which it is asked, if that has one


class TextPair(msgspec.Struct, frozen=True):
    """Two texts that are looked at together."""

    query: str
    document: str


class Score(_Job, frozen=True, kw_only=True):
    """Scores of pairs of texts. They come in ``Scored``, in any order; ``id`` is unique among the requests of this worker."""

    id: str
    pairs: list[TextPair]
    instruction: str | None = None  # what the query is to be answered for, of models that take one
    truncate: bool = False  # of a pair that is too long the document is cut at its end; else it is an error
    most_tokens: int | None = None  # at which a pair is cut, with the tokenizer's own; None: at the model's limit
    document_tokens: int | None = None  # at which a document is cut before it is looked at with its query
    priority: int | None = None  # lower goes first; None: nobody asked, and it is 0
    holder: str = ""  # the name of the key by which it is asked, if that has one


Job = Generate | Embed | Score
TEXT_FIELDS = {Task.EMBED: "input", Task.RERANK: "documents"}  # in which clients send the texts
