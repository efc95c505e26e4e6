"""The calls of an answer, as they grow: each the item of the kind of tool that the client offered."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from mlxd.api.responses.catalogue import Entry
from mlxd.api.responses.custom_input import CustomInput
from mlxd.api.responses.output_items import Event, OutputItem
from mlxd.wire.logprobs import TokenLogprobs


class Call(OutputItem):
    """A call of what the client knows as ``entry``."""

    def __init__(self, answer_id: str, place: int, call_id: str, entry: Entry) -> None:
        super().__init__(answer_id, place)
        self.entry = entry
        self._call_id = call_id
        self._written: list[str] = []

    @property
    def text(self) -> str:
        """Returns what the call is given so far."""
        return "".join(self._written)

    @override
    def document(self) -> dict[str, Any]:
        return {"type": f"{self.entry.kind}_call", "id": self.id, "status": self.status, "call_id": self._call_id, **self.given()}

    @abstractmethod
    def given(self) -> dict[str, Any]:
        """Returns the fields that say what is called, with what."""

    @override
    def more(self, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        if text:
            self._written.append(text)
            yield from self.telling(text)

    @abstractmethod
    def telling(self, text: str) -> Iterator[Event]:
        """Yields what a stream says of more that the call is given."""

    def named(self) -> dict[str, Any]:
        """Returns the name of what is called."""
        namespace = {} if self.entry.namespace is None else {"namespace": self.entry.namespace}
        return {"name": self.entry.name, **namespace}


class FunctionCall(Call):
    """A call of a function."""

    prefix = "fc"

    @override
    def given(self) -> dict[str, Any]:
        return {**self.named(), "arguments": self.text}

    @override
    def telling(self, text: str) -> Iterator[Event]:
        yield self.told("function_call_arguments.delta", delta=text)

    @override
    def closing(self) -> Iterator[Event]:
        yield self.told("function_call_arguments.done", name=self.entry.name, arguments=self.text)


class CustomCall(Call):
    """A call of a tool whose input is free text, which the model wrote as JSON."""

    prefix = "ctc"

    def __init__(self, answer_id: str, place: int, call_id: str, entry: Entry) -> None:
        super().__init__(answer_id, place, call_id, entry)
        self._reader = CustomInput()

    @override
    def document(self) -> dict[str, Any]:
        return super().document() | {"type": "custom_tool_call"}

    @override
    def given(self) -> dict[str, Any]:
        return {**self.named(), "input": self.text}

    @override
    def more(self, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        yield from super().more(self._reader.push(text))

    @override
    def telling(self, text: str) -> Iterator[Event]:
        yield self.told("custom_tool_call_input.delta", delta=text)

    @override
    def closing(self) -> Iterator[Event]:
        yield from super().more(self._reader.finish())
        yield self.told("custom_tool_call_input.done", input=self.text)


class SearchCall(Call):
    """A search for more tools, for which there are no events between its beginning and its end."""

    prefix = "tsc"

    @override
    def given(self) -> dict[str, Any]:
        return {"execution": "client", "arguments": {} if self.status == "in_progress" else _decoded(self.text)}

    @override
    def telling(self, text: str) -> Iterator[Event]:
        return iter(())

    @override
    def closing(self) -> Iterator[Event]:
        return iter(())


def _decoded(text: str) -> Any:
    """Returns what JSON text says; the text where it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
