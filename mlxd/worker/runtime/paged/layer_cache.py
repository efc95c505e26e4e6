"""What an mlx-lm model takes for a layer's cache."""

from dataclasses import dataclass

import mlx.core as mx

from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention_plan import AttentionPlan


@dataclass(frozen=True)
class Window:
    """Stands for a mask on its way through the model: this layer sees only the last ``size`` tokens."""

    size: int


class Step:
    """The plan of the present step, shared by all layers."""

    def __init__(self, attention: Attention) -> None:
        self.attention = attention
        self._plan: AttentionPlan | None = None
        self._windows: dict[int, AttentionPlan] = {}

    def begin(self, plan: AttentionPlan) -> None:
        """Before the model is called."""
        self._plan = plan
        self._windows = {}

    @property
    def plan(self) -> AttentionPlan:
        """Of this step."""
        if self._plan is None:
            raise RuntimeError("no step has begun")
        return self._plan

    def windowed(self, size: int) -> AttentionPlan:
        """Made once for all layers of this window."""
        if size not in self._windows:
            self._windows[size] = self.plan.windowed(size)
        return self._windows[size]


class PagedLayerCache:
    """Rows are tokens: keys and values arrive as ``[T, kv_heads, 1, head_dim]``. ``window``: this layer's own, if it has one."""

    def __init__(self, step: Step, slots: int, window: int | None) -> None:
        self.arenas = Arenas(slots)
        self._step = step
        self._window = window

    @property
    def offset(self) -> mx.array:
        """RoPE offset of each row, ``[T]``."""
        return self._step.plan.positions

    def make_mask(self, _: int, window_size: int | None = None, return_array: bool = False) -> Window | None:  # noqa: ARG002, FBT001, FBT002 - mlx-lm's signature
        """Attention looks at the plan, not at a mask; only a window must be known."""
        size = window_size or self._window
        return Window(size) if size else None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write this step's rows. What is returned only goes on to ``attend``, which reads the arenas."""
        flat_keys, flat_values = keys[:, :, 0].swapaxes(0, 1), values[:, :, 0].swapaxes(0, 1)
        for write in self._step.plan.writes:
            if write.rows is None:
                self.arenas.write(write.arena, write.slots, flat_keys, flat_values)
            else:
                self.arenas.write(write.arena, write.slots, flat_keys[:, write.rows], flat_values[:, write.rows])
        return keys, values

    def attend(self, queries: mx.array, scale: float, mask: object, sinks: mx.array | None) -> mx.array:
        """``[T, heads, 1, head_dim]``."""
        window = mask.size if isinstance(mask, Window) else self._window
        plan = self._step.plan if window is None else self._step.windowed(window)
        return self._step.attention.attend(queries, Layer(self.arenas, scale, window, sinks), plan)
