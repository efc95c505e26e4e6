"""A worker that encodes, and what it said."""

import numpy as np

from mlxd.wire.events import Embedded, Scored
from mlxd.wire.jobs import Embed, Score, TextPair
from mlxd.wire.messages import Ready
from mlxd.wire.prompts import TextPrompt, TokenPrompt


class Encoding:
    def __init__(self, link, ready):
        self.link, self.ready = link, ready

    @classmethod
    async def begin(cls, link, source, **changes):
        ready = await link.load(source, **changes)
        assert isinstance(ready, Ready), ready
        return cls(link, ready)

    async def embed(self, name, *texts, **fields):
        """The last event. A text is a string or tokens."""
        self.link.send(embed(name, *texts, **fields))
        return await self.link.ended(name)

    async def score(self, name, *pairs, **fields):
        self.link.send(Score(id=name, pairs=[TextPair(*pair) for pair in pairs], **fields))
        return await self.link.ended(name)

    def vectors(self, name):
        """``[texts, dimension]``; each was told once."""
        found = {}
        for event in self.link.events[name]:
            if isinstance(event, Embedded):
                rows = np.frombuffer(event.vectors, "<f4").reshape(len(event.places), -1)
                assert not found.keys() & set(event.places)
                found |= dict(zip(event.places, rows, strict=True))
        assert sorted(found) == list(range(len(found)))
        return np.array([found[place] for place in range(len(found))])

    def scores(self, name):
        found = {}
        for event in self.link.events[name]:
            if isinstance(event, Scored):
                found |= dict(zip(event.places, event.scores, strict=True))
        return [found[place] for place in range(len(found))]


def embed(name, *texts, **fields):
    inputs = [TextPrompt(text=text) if isinstance(text, str) else TokenPrompt(token_ids=text) for text in texts]
    return Embed(id=name, inputs=inputs, **fields)
