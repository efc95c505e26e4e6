"""``[models.NAME.adapters.ADAPTER]``: a fine-tune of a model, which requests may name."""

from typing import Literal

from mlxd.config.fields import Reload, Table, setting
from mlxd.config.source import AdapterSource
from mlxd.config.values import Aliases


class AdapterTable(Table):
    """An adapter: requests name it as "MODEL:ADAPTER", or by an alias of its own."""

    source: AdapterSource = setting(
        ...,
        'Hugging Face "org/name[@revision]", or a local path ("./..." starts from this file\'s directory), of what mlx-lm or PEFT wrote: '
        "a directory with adapter_config.json and weights in safetensors.",
        reload=Reload.LIVE,
        example="./adapters/sql",
    )
    aliases: Aliases = setting((), "Other names clients may use for it, as those of a model.", reload=Reload.LIVE)
    load: Literal["eager", "lazy"] = setting(
        "lazy", '"eager": with its model, or when it is added. "lazy": at the first request that names it, which waits.', reload=Reload.LIVE
    )
    pin: bool = setting(False, "Once loaded it stays, whichever others need the room.", reload=Reload.LIVE)
