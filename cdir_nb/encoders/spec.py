"""Encoder specifications, such as "ViT-B-32:openai,precision=bf16": the one parser of the text that names an encoder.

    open_clip       MODEL:TAG, MODEL:FILE, MODEL:random
    timm            timm:MODEL, timm:MODEL:FILE, timm:MODEL:random
    bundled CLIPs   tiny-clip, real-clip; tiny-clip:FOLDER, real-clip:FOLDER for another training of one
    backbones       mobilenet-v2, moco-v2:FILE

Options follow, each after a comma:

    pool=token      how a vision model pools: token, avg, max or avgmax (default: as it was trained)
    pad=true        pad an image to a square (default: resize and crop as the model's own configuration says)
    precision=bf16  matrix products in bfloat16 (default: fp32)
"""

import difflib
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cdir_nb.errors import CdirError
from cdir_nb.paths import expanded
from cdir_nb.sources import file_digest

CHECKPOINT_KINDS = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")
BUNDLED_CLIPS = ("tiny-clip", "real-clip")
MOBILENET = "mobilenet-v2"
MOCO = "moco-v2"
OWN_NAMES = (*BUNDLED_CLIPS, MOBILENET, MOCO)
BUNDLED_FILES = ("config.json", "model.safetensors")  # in the folder of a bundled CLIP
RANDOM = "random"

POOLS = ("token", "avg", "max", "avgmax")
PRECISIONS = ("fp32", "bf16")
CHOICES = {"pool": POOLS, "pad": ("true", "false"), "precision": PRECISIONS}


@dataclass(frozen=True)
class EncoderSpec:
    """The parts of a specification; `str(spec)` is the text again, without options that have their default.

    kind       "open_clip", "timm", "tiny-clip", "real-clip", "mobilenet-v2" or "moco-v2"
    model      a model's name for open_clip and timm, else empty
    weights    a tag, a path or "random"; empty for the weights that come with the model
    pool       one of POOLS, or empty: as the model was trained
    pad        whether images are padded to a square
    precision  one of PRECISIONS
    """

    kind: str
    model: str = ""
    weights: str = ""
    pool: str = ""
    pad: bool = False
    precision: str = "fp32"

    @classmethod
    def parse(cls, text: str) -> "EncoderSpec":
        """The specification in `text`. No model is built and no file is opened.

        Raises CdirError for a text of another form, an unknown option, or a value that an option cannot have.
        """
        name, options = _split_options(text)
        first, colon, rest = name.partition(":")
        if colon and not rest:
            raise CdirError(f'encoder "{text}" ends with a colon: name the weights after it, or leave it out')
        if first == "timm":
            spec = cls("timm", *_timm(rest, text))
        elif first in OWN_NAMES:
            spec = cls(first, weights=rest)
        else:
            spec = cls("open_clip", first.replace("/", "-"), rest)  # people write ViT-B/32
        _check_weights(spec, text)
        return replace(spec, **options)

    def __str__(self) -> str:
        return ",".join([":".join(filter(None, (self._model(), self.weights))), *self._changed_options()])

    @property
    def is_clip(self) -> bool:
        """Whether the model embeds images and texts; a backbone embeds images only."""
        return self.kind == "open_clip" or self.kind in BUNDLED_CLIPS

    @property
    def path(self) -> Path | None:
        """The checkpoint file, or the folder of a bundled CLIP's other training; None where no path is named."""
        looks_like_path = "/" in self.weights or os.sep in self.weights or self.weights.startswith("~")
        is_tag = self.kind == "open_clip" and not looks_like_path and not self.weights.endswith(CHECKPOINT_KINDS)
        return None if is_tag or self.weights in ("", RANDOM) else expanded(self.weights)

    def absolute(self) -> "EncoderSpec":
        """The same with an absolute path, so that it can be read from any folder.

        Raises CdirError where the checkpoint does not exist, or the folder lacks a file of a bundled CLIP.
        """
        if self.path is None:
            return self
        path = self.path.resolve()
        remedy = "FOLDER with a folder that has it" if self.kind in BUNDLED_CLIPS else "FILE with an existing file"
        for file in self._files(path):
            if not file.is_file():
                raise CdirError(f"checkpoint {file} not found: give --encoder {self._model()}:{remedy}")
        return replace(self, weights=str(path))

    def digest(self) -> str:
        """Identifies the encoder in a run: a checkpoint by its name and content, not its folder. Errors as above."""
        path = self.absolute().path
        if path is None:
            return str(self)
        return " ".join([str(replace(self, weights=path.name)), *map(file_digest, self._files(path))])

    def _files(self, path: Path) -> list[Path]:
        """The files that are read at `path`."""
        return [path / name for name in BUNDLED_FILES] if self.kind in BUNDLED_CLIPS else [path]

    def _changed_options(self) -> list[str]:
        """The options that differ from their defaults, as they are written: ["pad=true"]."""
        defaults = {field.name: field.default for field in fields(self)}
        changed = {name: getattr(self, name) for name in CHOICES if getattr(self, name) != defaults[name]}
        return [f"{name}={'true' if value is True else value}" for name, value in changed.items()]

    def _model(self) -> str:
        """What stands before the weights."""
        return {"open_clip": self.model, "timm": f"timm:{self.model}"}.get(self.kind, self.kind)


def _split_options(text: str) -> tuple[str, dict[str, str | bool]]:
    """The text before its options, and {option: value}; a comma in a path is not an option's."""
    name, options = text, {}
    while match := re.fullmatch(r"(.*),\s*(\w+)\s*=([^,]*)", name, re.DOTALL):
        name, option, value = match.group(1), match.group(2), match.group(3).strip()
        if option not in CHOICES:
            near = difflib.get_close_matches(option, CHOICES, n=1)
            hint = f"nearest: {near[0]}" if near else f"known: {', '.join(CHOICES)}"
            raise CdirError(f'encoder "{text}" has no option "{option}"; {hint}')
        if option in options:
            raise CdirError(f'encoder "{text}" has the option {option} twice: leave one')
        options[option] = option_value(option, value)
    return name.strip(), options


def option_value(option: str, value: str) -> str | bool:
    """The value of an option. Raises CdirError for one that is not among its CHOICES."""
    if value not in CHOICES[option]:
        raise CdirError(f'{option} "{value}" is not known: give one of {", ".join(CHOICES[option])}')
    return value == "true" if option == "pad" else value


def _timm(rest: str, text: str) -> tuple[str, str]:
    """Model and weights of what follows "timm:"."""
    model, colon, weights = rest.partition(":")
    if not model or (colon and not weights):
        raise CdirError(f'encoder "{text}" is not complete: write timm:MODEL, timm:MODEL:FILE or timm:MODEL:random')
    return model, weights


def _check_weights(spec: EncoderSpec, text: str) -> None:
    """CdirError where weights are missing, or named where there is no choice."""
    if spec.kind == MOBILENET and spec.weights:
        raise CdirError(f'encoder "{text}": {MOBILENET} has one set of weights; write {MOBILENET}')
    if spec.kind == MOCO and not spec.weights:
        raise CdirError(f'encoder "{text}" names no weights: write {MOCO}:FILE, a checkpoint of MoCo v2')
    if spec.kind == "open_clip" and not (spec.model and spec.weights):
        near = difflib.get_close_matches(text, OWN_NAMES, n=1)
        hint = f"; nearest: {near[0]}" if near else ""
        example = f"{spec.model or 'ViT-B-32'}:openai"
        raise CdirError(f'encoder "{text}" names no weights: write for example "{example}", or MODEL:FILE{hint}')
