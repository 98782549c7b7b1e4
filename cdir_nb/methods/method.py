"""`Method` describes a method: its training data, settings and variants. `Fitted` is the result of fitting it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.embedder import Direction, Embedder
from cdir_nb.methods.settings import Settings
from cdir_nb.methods.training import TrainedEmbedder, Training

LearnsFrom = Literal["images", "labels", "class names", "object names", "strokes", "pairs"]
PAIR, DIRECTION, ALL_DOMAINS = "a pair of domains", "one direction", "all domains"
ANY, CLIP, BACKBONE = "any", "CLIP", "convolutional backbone"


class NoSettings(Settings):
    """Empty settings, for a method that has no settings."""


@dataclass(frozen=True)
class Method:
    """A method, as a row of `METHODS`.

    name         name in records and tables; paper: its publication
    build        called as build(encoder, task, domains, settings, name=, seed=, progress=); returns a `Training`, or
                 an `Embedder` if nothing is trained. `domains` are a pair, a direction, or empty for all domains
    settings     class of its settings; the defaults are the paper's
    learns_from  its training data: images of the domains that it is fitted for, their labels, names of the seen
                 classes, names of other objects, strokes, pairs of images
    fitted_for   "a pair of domains", "one direction" or "all domains"
    encoders     "any", "CLIP" (images and texts) or "convolutional backbone" (feature maps)
    variants     {name in records: settings that it overrides}: ablations, and interpretations of a paper
    replaces     {variant: settings}: the variant applies only to settings with these values (default: to any)
    named        {name: settings} for certain encoders or budgets
    for_encoder  {encoder's name: name in `named`}: the settings that `fit` uses by default
    """

    name: str
    paper: str
    build: Callable[..., Training | Embedder]
    settings: type[Settings] = NoSettings
    learns_from: tuple[LearnsFrom, ...] = ()
    fitted_for: Literal["a pair of domains", "one direction", "all domains"] = ALL_DOMAINS
    encoders: Literal["any", "CLIP", "convolutional backbone"] = ANY
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    replaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    named: Mapping[str, Settings] = field(default_factory=dict)
    for_encoder: Mapping[str, str] = field(default_factory=dict)

    def configured(
        self,
        encoder: ImageEncoder | None = None,
        *,
        variant: str | None = None,
        settings: Settings | Mapping[str, Any] | str | None = None,
    ) -> Settings:
        """The settings of a run: those named for the encoder (else the paper's), then the variant's, then overrides.

        settings  None; a name in `named`; a mapping that overrides single fields, in which "named" chooses a name; or
                  complete Settings, to which the variant is applied
        Raises CdirError for an unknown name, variant or field, and for an invalid value.
        """
        if isinstance(settings, Settings):
            base, overrides = settings, {}
            if not isinstance(base, self.settings):
                raise CdirError(f"{self.name} takes {self.settings.__name__}, not {type(base).__name__}")
        else:
            overrides = {"named": settings} if isinstance(settings, str) else dict(settings or {})
            base = self._named(overrides.pop("named", None) or self._name_for(encoder))
        changes = self.changes(variant)
        return base.changed(**{**changes, **overrides})

    def changes(self, variant: str | None) -> Mapping[str, Any]:
        """The settings that a variant overrides. Raises CdirError for an unknown variant."""
        if not variant or variant == self.name:
            return {}
        if variant not in self.variants:
            available = "; ".join(self.variants) or "none"
            raise CdirError(f"{self.name} has no variant {variant!r}; available: {available}")
        return self.variants[variant]

    def applies(self, variant: str, settings: Settings) -> bool:
        """Whether a variant applies to these settings: it changes a value, and they have the values in `replaces`.

        A variant that removes a part of the method does not apply if this part is already disabled.
        """
        changes, replaced = self.changes(variant), self.replaces.get(variant, {})
        return settings.changed(**changes) != settings == settings.changed(**replaced)

    def parts(self, task: Protocol, directions: Sequence[Direction] | None = None) -> list[tuple[str, ...]]:
        """The domains of each training: every pair of domains, every direction, or a single () for all domains.

        Pairs and directions are those of the task, or of `directions`; a pair has the order of its first direction.
        Raises CdirError for a direction that the task does not have.
        """
        requested = list(task.directions if directions is None else map(tuple, directions))
        unknown = [" -> ".join(pair) for pair in requested if pair not in task.directions]
        if unknown:
            available = ", ".join(" -> ".join(pair) for pair in task.directions)
            raise CdirError(f"{task.name} has no direction {', '.join(unknown)}; available: {available}")
        if self.fitted_for == ALL_DOMAINS:
            return [()]
        if self.fitted_for == DIRECTION:
            return requested
        return list({frozenset(pair): pair for pair in reversed(requested)}.values())[::-1]

    @property
    def default_encoder(self) -> str:
        """The default encoder: the first bundled encoder for which there are named settings."""
        fallback = "tiny-clip" if self.encoders == CLIP else "mobilenet-v2"
        return next(iter(self.for_encoder), fallback)

    def require_encoder(self, encoder: ImageEncoder) -> None:
        """Raise CdirError for an encoder that the method cannot use."""
        self.require_kind(encoder.built.name, is_clip=isinstance(encoder, ClipEncoder))

    def require_kind(self, encoder: str, *, is_clip: bool) -> None:
        """Raise CdirError if the method cannot use an encoder of this kind; `encoder` is the name in the message."""
        if self.encoders == CLIP and not is_clip:
            raise CdirError(
                f"{self.name} needs a CLIP model, but {encoder} has no text tower: choose tiny-clip, "
                "real-clip or a model of open_clip"
            )
        if self.encoders == BACKBONE and is_clip:
            raise CdirError(
                f"{self.name} needs feature maps, but {encoder} is a CLIP model: choose mobilenet-v2 or "
                "another convolutional backbone"
            )

    def _name_for(self, encoder: ImageEncoder | None) -> str | None:
        name = encoder.built.name if encoder is not None else ""
        return self.for_encoder.get(name.partition(":")[0], self.for_encoder.get(name))

    def _named(self, name: str | None) -> Settings:
        if name is None:
            return self.settings()
        if name not in self.named:
            raise CdirError(f'{self.name} has no settings named "{name}"; available: {"; ".join(self.named) or "none"}')
        return self.named[name]


@dataclass(frozen=True)
class Fitted:
    """The result of `fit`.

    method     the method; name: the name of the method or variant in records
    settings   the settings of all parts; seed: the seed
    states     {selection rule: one embedder for each pair, direction or set of domains}; `measure` accepts such a tuple
    trainings  one for each part; empty if nothing was trained
    """

    method: Method
    name: str
    settings: Settings
    seed: int
    states: Mapping[str, tuple[Embedder, ...]]
    trainings: tuple[Training, ...] = ()

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row per training and epoch: losses, scores, changes of parameters, seconds; `domains` names the part."""
        return [{"domains": "-".join(part.domains), **row} for part in self.trainings for row in part.history]

    @property
    def stored_epochs(self) -> tuple[int, ...]:
        """The epochs that `at_epoch` accepts; epoch 0 is the initial state."""
        stored = [set(training.snapshots) for training in self.trainings]
        return tuple(sorted(set.intersection(*stored))) if stored else ()

    def at_epoch(self, epoch: int) -> tuple[TrainedEmbedder, ...]:
        """The embedders after an epoch. Raises CdirError for an epoch that is not in `stored_epochs`."""
        if epoch not in self.stored_epochs:
            stored = ", ".join(map(str, self.stored_epochs)) or "none"
            raise CdirError(f"{self.name}: the state after epoch {epoch} was not stored; stored: {stored}")
        return tuple(
            TrainedEmbedder(training, "last epoch", epoch, training.snapshots[epoch]) for training in self.trainings
        )
