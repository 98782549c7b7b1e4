"""Datasets: their cards, loading, verification, and the protocols that are evaluated on them."""

from cdir_nb.data.card import Card, DomainInfo, MetricSpec
from cdir_nb.data.check import VerifyReport, verify
from cdir_nb.data.folder import open_folder
from cdir_nb.data.images import (
    ImageSet,
    altered,
    combine,
    copies,
    credit_line,
    cut_to_strip,
    inverted,
    own_rows,
    rename,
)
from cdir_nb.data.loose import as_image_set
from cdir_nb.data.manifest import card_names, load_card, open_dataset
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import (
    Protocol,
    dataset_of,
    default_protocol,
    held_out,
    load_protocol,
    open_task,
    protocol_names,
)

__all__ = [
    "Card",
    "DomainInfo",
    "ImageSet",
    "MetricSpec",
    "Protocol",
    "VerifyReport",
    "altered",
    "as_image_set",
    "card_names",
    "combine",
    "copies",
    "credit_line",
    "cut_to_strip",
    "dataset_of",
    "default_protocol",
    "held_out",
    "inverted",
    "load_card",
    "load_protocol",
    "object_names",
    "open_dataset",
    "open_folder",
    "open_task",
    "own_rows",
    "protocol_names",
    "rename",
    "verify",
]
