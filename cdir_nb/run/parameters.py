"""Notebook parameters: the ranges and choices of their values, as one pydantic model per notebook in `MODELS`.

The type of a parameter is that of its default value in the notebook's `parameters` cell. The model of a notebook
defines further constraints; your own notebooks need no model.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from cdir_nb.data.manifest import load_card, load_cards
from cdir_nb.data.protocols import dataset_of, default_protocol, protocol_directions, protocol_names
from cdir_nb.encoders.spec import EncoderSpec
from cdir_nb.encoders.zero_shot import class_prompts
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet import BASELINES, SNMPNET
from cdir_nb.methods.table import METHODS
from cdir_nb.results.panels import views
from cdir_nb.results.records import problems
from cdir_nb.run.profile import RESERVED


def one_of(names: Callable[[], Iterable[str]]) -> AfterValidator:
    """A validator for strings that must be in `names()`, which is called whenever a string is validated."""

    def check(value: str) -> str:
        if value not in (choices := list(dict.fromkeys(names()))):
            raise ValueError(f"should be one of {', '.join(filter(None, choices))}; not {value!r}")
        return value

    return AfterValidator(check)


def _snmpnet_methods(text: str) -> str:
    names = ("all", "SnMpNet", *SNMPNET.variants, *(row.name for row in BASELINES))
    if unknown := [name for name in map(str.strip, text.split(",")) if name not in names]:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    return text


def _template(text: str) -> str:
    class_prompts(["cup"], "photo", text)
    return text


LARGEST = 10**9
Count = Annotated[int, Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
AtLeastTwo = Annotated[int, Field(ge=2, le=LARGEST)]
MapPoints = Annotated[int, Field(ge=50, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
ProtocolOrDefault = Annotated[str, one_of(lambda: ["", *protocol_names()])]
ClairSettings = Annotated[str, one_of(lambda: METHODS["CLAIR"].named)]


def _dataset(name: str) -> str:
    try:
        load_card(name)
    except CdirError as error:
        raise ValueError(str(error)) from None
    return name


class Shared(BaseModel):
    """Parameters of all notebooks, including your own."""

    dataset: Annotated[str, AfterValidator(_dataset)] = "world"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Numbered(Shared):
    """Parameters of the numbered notebooks, which read images through a protocol (empty: the dataset's default).

    A query and a gallery domain must be a direction of the protocol.
    """

    protocol: ProtocolOrDefault
    query_domain: str = ""
    gallery_domain: str = ""

    @model_validator(mode="after")
    def _check_direction(self) -> Self:
        protocol = self.protocol or default_protocol(self.dataset)
        directions = protocol_directions(protocol)
        domains = list(dict.fromkeys(domain for direction in directions for domain in direction))
        if missing := sorted(set(domains) - set(load_card(self.dataset).domains)):
            raise CdirError(f"protocol {protocol} needs {', '.join(missing)}, which {self.dataset} does not have")
        pair = self.query_domain, self.gallery_domain
        for name, domain in zip(("query_domain", "gallery_domain"), pair):
            if domain and domain not in domains:
                raise CdirError(f"{name} should be one of {', '.join(domains)}; not {domain!r}")
        if any(pair) and pair not in directions and not self._fills_in(pair):
            raise CdirError(_no_direction(protocol, pair))
        return self

    def _fills_in(self, pair: tuple[str, str]) -> bool:
        """Whether the notebook itself replaces an empty domain."""
        return False


class Tour(Numbered):
    k: Count
    sheet_classes: Count


class ZeroShot(Numbered):
    k: CountOrZero
    template: Annotated[str, AfterValidator(_template)]
    map_points: MapPoints


class PseudoLabels(Numbered):
    steps: Count
    weight: Annotated[float, Field(ge=0, le=1e6)]
    spread: Positive
    neighbours: Count
    epochs: Count


class FrozenVectors(Numbered):
    k: CountOrZero


class DomainMapping(Numbered):
    k: CountOrZero
    name_list: Literal["objects", "seen"]
    rest: Literal["identity", "svd"]
    map_points: MapPoints


class PromptLearning(Numbered):
    settings: ClairSettings
    train_images: CountOrZero
    variants: Literal["full", "some", "all"]
    k: CountOrZero


class DataFree(Numbered):
    label_strategy: Annotated[int, Field(ge=1, le=2)]
    variants: Literal["some", "all", "readings"]
    words: AtLeastTwo
    radius: Positive
    expansion_steps: Count
    aggregation_steps: Count


class Unsupervised(Numbered):
    settings: Annotated[str, one_of(lambda: METHODS["UCDIR"].named)]
    variants: Literal["full", "paper", "all"]
    image_size: CountOrZero
    epochs: CountOrZero
    train_images: CountOrZero
    k: CountOrZero


class Universal(Numbered):
    held_out: Annotated[str, one_of(lambda: [domain for card in load_cards() for domain in card.domains])]
    settings: Annotated[str, one_of(lambda: SNMPNET.named)]
    methods: Annotated[str, AfterValidator(_snmpnet_methods)]
    train_images: CountOrZero
    epochs: CountOrZero
    pools: Count


class LabelledPairs(Numbered):
    epochs: Count


class OneDirection(Numbered):
    """Parameters of notebooks that choose the gallery domain themselves if only a query domain is given."""

    def _fills_in(self, pair: tuple[str, str]) -> bool:
        return bool(pair[0]) and not pair[1]


class Conventions(OneDirection):
    k: Count
    variant_images: AtLeastTwo


class Chance(OneDirection):
    runs: Count


class Tables(Numbered):
    table: Annotated[str, one_of(lambda: map(str, views()))]


class Explorer(Numbered):
    map_points: MapPoints


class ExperimentNotebook(Shared):
    """Parameters of a notebook that runs one method on one task.

    Method, variant, settings, encoder and directions must fit each other.
    """

    method: Annotated[str, one_of(lambda: METHODS)]
    variant: str
    task: Annotated[str, one_of(protocol_names)]
    encoder: str
    settings: dict[str, Any]
    directions: list[list[str]]
    test_task: ProtocolOrDefault

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        method = METHODS[self.method]
        method.configured(variant=self.variant or None, settings=self.settings)
        method.require_kind(self.encoder, is_clip=EncoderSpec.parse(self.encoder).is_clip)
        return self

    @model_validator(mode="after")
    def _check_tasks(self) -> Self:
        test_task = self.test_task or self.task
        if (dataset := dataset_of(self.task)) != dataset_of(test_task):
            raise CdirError(
                f"test_task {test_task} is not on the images of {self.task}: choose a protocol of {dataset}"
            )
        for protocol in dict.fromkeys((self.task, test_task)):
            for pair in map(tuple, self.directions):
                if pair not in protocol_directions(protocol):
                    raise CdirError(_no_direction(protocol, pair))
        return self


MODELS: dict[str, type[BaseModel]] = {
    "00_tour": Tour,
    "01_clip_zero_shot": ZeroShot,
    "02_conventions": Conventions,
    "03_frozen_vectors": FrozenVectors,
    "04_domain_mapping": DomainMapping,
    "05_pseudo_labels": PseudoLabels,
    "06_prompt_learning": PromptLearning,
    "07_data_free_tki": DataFree,
    "08_unsupervised_ucdir": Unsupervised,
    "09_universal_snmpnet": Universal,
    "10_sketchlvm": LabelledPairs,
    "11_chance_and_selection": Chance,
    "12_which_ideas_hold": Numbered,
    "13_explorer": Explorer,
    "A1_tables": Tables,
    "A2_settings": Numbered,
    "experiment": ExperimentNotebook,
}


def _no_direction(protocol: str, pair: tuple[str, ...]) -> str:
    known = "; ".join(f"{query} to {gallery}" for query, gallery in protocol_directions(protocol)[:12]) or "none"
    return f"{' to '.join(pair) if all(pair) else pair} is not a direction of {protocol}; it has {known}"


def complete_parameters(
    notebook: str, values: Mapping[str, Any], defaults: Mapping[str, Any], model: type[BaseModel]
) -> dict[str, Any]:
    """All parameters of a notebook: `defaults`, overridden by `values`.

    notebook  its name, for messages
    model     from `MODELS`; `Shared` for your own notebook
    Raises CdirError for a parameter that the notebook does not have, and for a value that it cannot use.
    """
    for name, value in values.items():
        if name not in defaults:
            available = ", ".join(sorted(set(defaults) - set(RESERVED))) or "none"
            raise CdirError(f"{notebook} has no parameter {name!r}; known: {available}")
        _require_plain(f"{notebook}: {name}", value)
    parameters = {**defaults, **values}
    try:
        _model_of_types({name: defaults[name] for name in values}).model_validate(dict(values))
        model.model_validate(parameters)
    except ValidationError as error:
        raise CdirError(f"{notebook}: {problems(error)}") from None
    except CdirError as error:
        raise CdirError(f"{notebook}: {error}") from None
    return parameters


def _require_plain(name: str, value: Any) -> None:
    """Raise CdirError for a value that cannot be written to a notebook, such as a date from a YAML file."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise CdirError(f"{name} must be finite numbers, text, lists or mappings of them, not {value!r}") from None
    if isinstance(value, str) and not value.isprintable():
        raise CdirError(f"{name} must be one line of printable text, not {value!r}")


def _model_of_types(defaults: Mapping[str, Any]) -> type[BaseModel]:
    """A model that checks types only. It uses aliases, since a parameter's name may be invalid for a pydantic field."""
    named = enumerate(defaults.items())
    fields: dict[str, Any] = {f"field_{i}": (_type_of(default), Field(alias=name)) for i, (name, default) in named}
    return create_model("Types", __config__=ConfigDict(strict=True), **fields)


def _type_of(default: Any) -> Any:
    """The type that a value must have: that of the default; for items of a list, the type of the default's items."""
    if default is None:
        return Any
    if isinstance(default, list) and default:
        return list[reduce(or_, map(_type_of, default))]
    return type(default)
