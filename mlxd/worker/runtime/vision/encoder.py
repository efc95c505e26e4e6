"""Pictures and films on their way through a vision tower, a piece of it in each step.

MLX is lazy: the graph of the whole tower is built at once, and evaluated piece by piece for as long as there is time. Parts that do not
look at each other, a picture's crops and a film's times, go through it one after the other. So a large picture delays streams by no more
than what a plan gives it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import mlx.core as mx
import numpy as np

from mlxd.errors import GenerationError
from mlxd.worker.encoded_prompt import MediaInput, Tensor
from mlxd.worker.engine.executor import Encoded
from mlxd.worker.engine.plan import Encode
from mlxd.worker.runtime.vision.architectures import Part, seeing_modules, vision_tower
from mlxd.worker.runtime.vision.features import Features
from mlxd.worker.runtime.vision.pieces import Pieces
from mlxd.worker.runtime.vision.seeing_model import SeeingModel
from mlxd.worker.runtime.vision.sight import Sight
from mlxd.worker.runtime.vision.tower_attention import TowerAttention

_AT_ONCE = {mx.DeviceType.cpu: 1024, mx.DeviceType.gpu: 8192}  # patches: so many keep a device busy, and more only take memory


class NotEncodedError(GenerationError):
    """The model's vision tower made nothing of a picture that could stand in its place."""

    code = "not_encoded"


@dataclass(frozen=True)
class _Begun:
    """A part of a picture whose graph is built: its pieces, and what is behind them."""

    pieces: list[mx.array]
    features: Features


@dataclass
class _Encoding:
    """A picture under way: ``parts`` of it that are not begun yet, the pieces ``left`` of the one that is, and ``features`` of those begun,
    the last of which is not computed yet. ``slowest`` are the seconds that a piece has taken at most.

    It takes more pieces at once where they are quick: to wait for each has its price on a GPU.
    """

    parts: Iterator[_Begun]
    left: deque[mx.array]
    features: list[Features]
    slowest: float = 0.0
    together: int = 1

    def go_on(self, until: float) -> bool:
        """Evaluates one piece at least, and more as long as there is time for them. Tells whether that was all."""
        began = monotonic()
        while not self._evaluate():
            now = monotonic()
            self.slowest = max(self.slowest, (now - began) / self.together)
            if now + self.slowest > until:
                return False
            fitting = int((until - now) / self.slowest) if self.slowest else self.together + 1
            self.together, began = max(1, min(2 * self.together, fitting)), now
        return True

    def _evaluate(self) -> bool:
        """Evaluates the next pieces, or what is behind those of a part. Tells whether that was all."""
        if self.left:
            mx.eval(*(self.left.popleft() for _ in range(min(self.together, len(self.left)))))
            return False
        mx.eval(self.features[-1].tensors)
        return not self.begin_next()

    def begin_next(self) -> bool:
        """Begins with the next part, if there is one: so that no more graphs are built at once than are evaluated."""
        begun = next(self.parts, None)
        if begun is None:
            return False
        self.left = deque(begun.pieces)
        self.features.append(begun.features)
        return True


class Encoder:
    """Encodes pictures with the tower of ``model``, and leaves them in ``sight``. What a plan has it encode is under way until it is done,
    has failed, or is let go.
    """

    def __init__(self, model: SeeingModel, sight: Sight) -> None:
        self._model = model.model
        self._architecture = model.architecture
        self._sight = sight
        self._pieces = Pieces(seeing_modules(self._model))
        self._attention = TowerAttention(vision_tower(self._model), self._pieces.take)
        self.embedding_bytes = 0  # of one embedding, as of what was encoded last
        self._inputs: dict[bytes, MediaInput] = {}
        self._under_way: dict[bytes, _Encoding] = {}

    def run(self, encodes: Sequence[Encode]) -> Encoded:
        """Goes on with each of ``encodes`` for its seconds, and what those before it have left of theirs; with the first one by a piece
        at least. A fault is that picture's alone.
        """
        self._inputs |= {one.content: one.input for one in encodes if one.input is not None}
        began = until = monotonic()
        done: dict[bytes, int] = {}
        failed: dict[bytes, Exception] = {}
        for one in encodes:
            until += one.seconds
            if one is not encodes[0] and monotonic() >= until:
                continue
            try:
                if self._go_on(one.content, until):
                    done[one.content] = self._finish(one.content)
            except Exception as error:  # noqa: BLE001 - whatever a tower or a device says of this picture
                self._forget([one.content])
                failed[one.content] = error
        return Encoded(done, failed, monotonic() - began)

    def let_go(self, contents: Iterable[bytes]) -> None:
        """Lets go of these, done or under way."""
        contents = tuple(contents)
        self._forget(contents)
        self._sight.let_go(contents)

    def clear(self) -> None:
        """Lets go of all."""
        self._forget([*self._inputs, *self._under_way])
        self._sight.clear()

    def tensors(self, given: MediaInput) -> dict[str, mx.array]:
        """Returns what the tower is given of a picture, on the device; pixels are of the type that it computes in."""
        dtype = self._architecture.dtype(self._model)
        return {name: _array(tensor, dtype) for name, tensor in given.tensors.items()}

    @property
    def nbytes(self) -> int:
        """Returns the bytes of what is encoded."""
        return self._sight.nbytes

    def _go_on(self, content: bytes, until: float) -> bool:
        """Tells whether all of it is computed."""
        if content not in self._under_way:
            self._under_way[content] = self._begin(self._inputs[content])
        return self._under_way[content].go_on(until)

    def _begin(self, given: MediaInput) -> _Encoding:
        """Builds the graph of the whole tower for the first part."""
        whole = Part(self.tensors(given), given.count)
        parts = self._architecture.parts(self._model, whole, _AT_ONCE[mx.default_device().type])
        encoding = _Encoding(map(self._built, parts), deque(), [])
        encoding.begin_next()
        return encoding

    def _built(self, part: Part) -> _Begun:
        with self._pieces.recording() as pieces, self._attention.sliced():
            features = self._architecture.encode(self._model, part.tensors, part.count)
        if features.embeddings.shape[0] != part.count:
            raise NotEncodedError(f"the model makes {features.embeddings.shape[0]} embeddings of a picture, not the {part.count} expected")
        return _Begun(pieces, features)

    def _finish(self, content: bytes) -> int:
        """Returns the bytes of what was made of it."""
        features = Features.joined(self._under_way[content].features)
        if not all(bool(mx.all(mx.isfinite(tensor))) for tensor in features.tensors):
            raise NotEncodedError("the model's embeddings of this picture are infinite, or not numbers")
        self._forget([content])
        self._sight.hold(content, features)
        self.embedding_bytes = features.nbytes // features.embeddings.shape[0]
        return features.nbytes

    def _forget(self, contents: Iterable[bytes]) -> None:
        for content in contents:
            self._inputs.pop(content, None)
            self._under_way.pop(content, None)


def _array(tensor: Tensor, dtype: mx.Dtype) -> mx.array:
    found = mx.array(np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape))
    return found.astype(dtype) if mx.issubdtype(found.dtype, mx.floating) else found
