"""What comes back to the model of a conversation so far."""

from pydantic import ConfigDict

from mlxd.api.fields.validation import Strict


class Past(Strict):
    """The base of items and their parts. Fields that nobody knows are passed over, whatever ``server.unknown_fields`` says: they describe
    what was, and clients add new ones with every version.
    """

    model_config = ConfigDict(extra="ignore")
