"""Pictures in prompts that are to be encoded: rows of placeholders, with a token between two rows."""

from dataclasses import dataclass

from mlxd.media_terms import MediaKind
from mlxd.worker.encoded_prompt import MediaInput, MediaSpan, Tensor

PLACEHOLDER, BREAK = 90, 91


@dataclass(frozen=True)
class Picture:
    """``number`` tells it from others of the same size. A mutual one has one row."""

    number: int = 0
    rows: int = 1
    columns: int = 4
    is_mutual: bool = False
    kind: MediaKind = MediaKind.IMAGE

    @property
    def content(self):
        return f"{self.kind} {self.number} {self.rows} x {self.columns} {self.is_mutual}".encode()

    @property
    def count(self):
        return self.rows * self.columns

    @property
    def input(self):
        return MediaInput(self.content, {"pixels": Tensor("uint8", (1,), bytes([self.number]))}, self.count, self.kind)

    @property
    def tokens(self):
        return ([PLACEHOLDER] * self.columns + [BREAK]) * (self.rows - 1) + [PLACEHOLDER] * self.columns

    def spans(self, start):
        for row in range(self.rows):
            first = start + row * (self.columns + 1)
            yield MediaSpan(first, first + self.columns, self.content, first=row * self.columns, mutual=self.is_mutual)


def shown(parts):
    """``parts`` are tokens and pictures. Returns the tokens, spans and inputs of a prompt."""
    tokens, spans, inputs = [], [], {}
    for part in parts:
        if isinstance(part, Picture):
            spans += part.spans(len(tokens))
            inputs[part.content] = part.input
            tokens += part.tokens
        else:
            tokens.append(part)
    return tokens, tuple(spans), tuple(inputs.values())
