"""What the notebooks' parameters may be, beyond the type of their default: a range, or a list of choices.

A new notebook adds its parameters to DECLARED (a test finds those that are missing); the names that all notebooks share
stand under COMMON. Pydantic checks the values. Parameters of your own notebooks are checked for their type only.
"""

from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from cdir_nb.data.manifest import card_names, load_card
from cdir_nb.data.protocols import default_protocol, protocol_directions, protocol_names
from cdir_nb.errors import CdirError
from cdir_nb.results.records import problems


def one_of(names: Callable[[], Iterable[str]]) -> Any:
    """A text that is one of `names()`, which is called only when a value is checked."""

    def known(value: str) -> str:
        if value not in (choices := list(names())):
            raise ValueError(f"should be one of {', '.join(filter(None, choices))}; not {value!r}")
        return value

    return Annotated[str, AfterValidator(known)]


def at_least(low: int, most: int = 10**9) -> Any:
    """A whole number from `low` to `most`."""
    return Annotated[int, Field(ge=low, le=most)]


def _clair_settings() -> Collection[str]:
    from cdir_nb.methods.clair.settings import NAMED

    return NAMED


def _ucdir_settings() -> Collection[str]:
    from cdir_nb.methods.ucdir import UCDIR

    return UCDIR.named


def _snmpnet_settings() -> Collection[str]:
    from cdir_nb.methods.snmpnet import SNMPNET

    return SNMPNET.named


def _snmpnet_methods(text: str) -> str:
    from cdir_nb.methods.snmpnet import BASELINES, SNMPNET

    known = ("all", "SnMpNet", *SNMPNET.variants, *(row.name for row in BASELINES))
    if unknown := [name for name in map(str.strip, text.split(",")) if name not in known]:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return text


def _methods() -> Collection[str]:
    from cdir_nb.methods.table import METHODS

    return METHODS


def _domains() -> list[str]:
    return list(dict.fromkeys(domain for name in card_names() for domain in load_card(name).domains))


def _tables() -> list[str]:
    from cdir_nb.results.compare import views

    return [str(view) for view in views()]


def _template(text: str) -> str:
    from cdir_nb.encoders.zero_shot import class_prompts

    class_prompts(["cup"], "photo", text)
    return text


COUNT, COUNT_OR_ZERO = at_least(1), at_least(0)
POSITIVE = Annotated[float, Field(gt=0, le=1e6)]
CLAIR = {"settings": one_of(_clair_settings), "train_images": COUNT_OR_ZERO}
COMMON: dict[str, Any] = {
    "dataset": one_of(card_names),
    "protocol": one_of(lambda: ["", *protocol_names()]),
    "seed": at_least(0, 2**31 - 1),
}
DECLARED: dict[str, dict[str, Any]] = {
    "00_tour": {"k": COUNT, "sheet_classes": COUNT},
    "01_clip_zero_shot": {
        "k": COUNT_OR_ZERO,
        "template": Annotated[str, AfterValidator(_template)],
        "map_points": at_least(50),
    },
    "02_pseudo_labels": {
        "steps": COUNT,
        "weight": Annotated[float, Field(ge=0, le=1e6)],
        "spread": POSITIVE,
        "neighbours": COUNT,
        "epochs": COUNT,
    },
    "03_domain_mapping": {
        "k": COUNT_OR_ZERO,
        "name_list": Literal["objects", "seen"],
        "rest": Literal["svd", "identity"],
        "map_points": at_least(50),
    },
    "04_prompt_learning": {
        **CLAIR,
        "variants": Literal["full", "some", "all"],
        "mixed_precision": bool,
        "k": COUNT_OR_ZERO,
    },
    "05_retrieval_grids": {**CLAIR, "k": COUNT, "method": str},
    "06_data_free_tki": {
        "label_strategy": Literal[1, 2],
        "variants": Literal["some", "all", "readings"],
        "words": at_least(2),
        "radius": POSITIVE,
        "expansion_steps": COUNT,
        "aggregation_steps": COUNT,
        "all_classes": bool,
    },
    "07_unsupervised_ucdir": {
        "settings": one_of(_ucdir_settings),
        "variants": Literal["full", "paper", "all"],
        "image_size": COUNT_OR_ZERO,
        "epochs": COUNT_OR_ZERO,
        "train_images": COUNT_OR_ZERO,
        "k": COUNT_OR_ZERO,
    },
    "08_universal_snmpnet": {
        "backbone": str,
        "semantics": str,
        "held_out": one_of(_domains),
        "settings": one_of(_snmpnet_settings),
        "methods": Annotated[str, AfterValidator(_snmpnet_methods)],
        "train_images": COUNT_OR_ZERO,
        "epochs": COUNT_OR_ZERO,
        "pools": COUNT,
    },
    "09_why_does_my_number_differ": {"k": COUNT, "runs": COUNT, "variant_images": at_least(2)},
    "10_tables": {"table": one_of(_tables)},
    "experiment": {
        "method": one_of(_methods),
        "variant": str,
        "task": one_of(protocol_names),
        "settings": dict[str, Any],
        "directions": list[tuple[str, str]],
        "test": bool,
        "test_task": one_of(lambda: ["", *protocol_names()]),
    },
    "11_explorer": {"folder": str, "map_points": at_least(50)},
}
HALF_A_PAIR = ("09_why_does_my_number_differ",)  # choose the gallery's domain themselves, if only the query's is given
PAIRS = (("query_domain", "gallery_domain"), ("first_domain", "second_domain"))  # checked by `check_domains`


def check_declared(notebook: str, name: str, value: Any) -> None:
    """Raise CdirError if the value is out of the range, or none of the choices, of a notebook's parameter."""
    rule = DECLARED.get(notebook, {}).get(name, COMMON.get(name))
    if rule is None:
        return
    try:
        TypeAdapter(rule).validate_python(value)
    except ValidationError as error:
        raise CdirError(f"{notebook}: {name} {problems(error).removeprefix(': ')}") from None
    except CdirError as error:
        raise CdirError(f"{notebook}: {name}: {error}") from None


def check_domains(notebook: str, dataset: str, parameters: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise CdirError if a notebook's domains are no direction of its protocol, or the dataset does not have them."""
    if "protocol" not in parameters:  # one of your own, which may read the images in any way
        return
    protocol = parameters["protocol"] or default_protocol(dataset)
    _fits_dataset(notebook, dataset, protocol)
    for first, second in PAIRS:
        pair = parameters.get(first, ""), parameters.get(second, "")
        if (first, second) == PAIRS[0] and any(pair):
            _is_direction(notebook, protocol, pair)
        elif pair != (
            defaults.get(first, ""),
            defaults.get(second, ""),
        ):  # that default is left out where it is unknown
            _are_two(notebook, first, second, pair, tuple(load_card(dataset).domains))


def _is_direction(notebook: str, protocol: str, pair: tuple[str, str]) -> None:
    directions = _directions(protocol)
    domains = list(dict.fromkeys(domain for direction in directions for domain in direction))
    for name, domain in zip(PAIRS[0], pair):
        if domain and domain not in domains:
            raise CdirError(f"{notebook}: {name} should be one of {', '.join(domains)}; not {domain!r}")
    half = notebook in HALF_A_PAIR and pair[0] and not pair[1]
    if pair not in directions and not half:
        known = "; ".join(f"{a} to {b}" for a, b in directions[:12])
        raise CdirError(f"{notebook}: {' to '.join(map(repr, pair))} is no direction of {protocol}; it has {known}")


def _are_two(notebook: str, first: str, second: str, pair: tuple[str, str], domains: tuple[str, ...]) -> None:
    if pair[0] == pair[1] or not set(pair) <= set(domains):
        known = ", ".join(domains)
        raise CdirError(f"{notebook}: {first} and {second} should be two of {known}; not {pair[0]!r} and {pair[1]!r}")


@cache
def _directions(protocol: str) -> tuple[tuple[str, str], ...]:
    return protocol_directions(protocol)


def _fits_dataset(notebook: str, dataset: str, protocol: str) -> None:
    missing = sorted({d for pair in _directions(protocol) for d in pair} - set(load_card(dataset).domains))
    if missing:
        raise CdirError(f"{notebook}: protocol {protocol} needs {', '.join(missing)}, which {dataset} does not have")
