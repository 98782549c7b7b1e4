"""Encoder specifications such as "ViT-B-32:openai,precision=bf16", and their only parser.

    open_clip       MODEL:TAG, MODEL:FILE, MODEL:random
    timm            timm:MODEL, timm:MODEL:FILE, timm:MODEL:random
    bundled CLIPs   tiny-clip, real-clip; tiny-clip:FOLDER, real-clip:FOLDER for a retrained model
    backbones       mobilenet-v2, moco-v2:FILE

Options follow after commas or colons:

    pool=token      pooling of the vision model: token, avg, max or avgmax (default: as in training)
    pad=true        pad images to a square (default: resize and crop by the model's own configuration)
    precision=bf16  matrix products in bfloat16 (default: fp32)
"""

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cdir_nb.errors import CdirError
from cdir_nb.paths import expanded
from cdir_nb.sources import file_digest

CHECKPOINT_KINDS = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")
BUNDLED_CLIPS = ("tiny-clip", "real-clip")
MOBILENET = "mobilenet-v2"
MOCO = "moco-v2"
BUNDLED_NAMES = (*BUNDLED_CLIPS, MOBILENET, MOCO)
BUNDLED_FILES = ("config.json", "model.safetensors")  # in the folder of a bundled CLIP
RANDOM = "random"

POOLS = ("token", "avg", "max", "avgmax")
PRECISIONS = ("fp32", "bf16")
CHOICES = {"pool": POOLS, "pad": ("true", "false"), "precision": PRECISIONS}


@dataclass(frozen=True)
class EncoderSpec:
    """The parts of a specification; `str(spec)` gives the text back, without options that have default values.

    kind       "open_clip", "timm", "tiny-clip", "real-clip", "mobilenet-v2" or "moco-v2"
    model      a model's name for open_clip and timm, else empty
    weights    a tag, a path or "random"; empty for the bundled or default weights
    pool       one of POOLS; empty: as in training
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
        """Parse `text`, without building a model or opening a file.

        Raises CdirError for a malformed specification, an unknown option, or an invalid value of an option.
        """
        name, options = _split_options(text)
        prefix, colon, remainder = name.partition(":")
        if colon and not remainder:
            raise CdirError(f'encoder "{text}" ends with a colon: name the weights after it, or leave it out')
        if prefix == "timm":
            spec = cls("timm", *_timm(remainder, text))
        elif prefix in BUNDLED_NAMES:
            spec = cls(prefix, weights=remainder)
        else:
            spec = cls("open_clip", prefix.replace("/", "-"), remainder)  # people write ViT-B/32
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
        """The checkpoint file, or the folder of a retrained bundled CLIP; None if the specification has no path."""
        looks_like_path = "/" in self.weights or os.sep in self.weights or self.weights.startswith("~")
        is_tag = self.kind == "open_clip" and not looks_like_path and not self.weights.endswith(CHECKPOINT_KINDS)
        return None if is_tag or self.weights in ("", RANDOM) else expanded(self.weights)

    def absolute(self) -> "EncoderSpec":
        """The same specification with an absolute path.

        Raises CdirError if the checkpoint does not exist, or if a file is missing from the folder of a bundled CLIP.
        """
        if self.path is None:
            return self
        path = self.path.resolve()
        remedy = "FOLDER with a folder that contains it" if self.kind in BUNDLED_CLIPS else "FILE with an existing file"
        for file in self._files(path):
            if not file.is_file():
                raise CdirError(f"checkpoint {file} not found: give --encoder {self._model()}:{remedy}")
        return replace(self, weights=str(path))

    def digest(self) -> str:
        """Digest of the specification, which identifies a checkpoint by name and content, not by folder.

        Raises CdirError as `absolute` does.
        """
        path = self.absolute().path
        if path is None:
            return str(self)
        return " ".join([str(replace(self, weights=path.name)), *map(file_digest, self._files(path))])

    def _files(self, path: Path) -> list[Path]:
        """The files to read at `path`."""
        return [path / name for name in BUNDLED_FILES] if self.kind in BUNDLED_CLIPS else [path]

    def _changed_options(self) -> list[str]:
        """The options that differ from their defaults, as text: ["pad=true"]."""
        defaults = {field.name: field.default for field in fields(self)}
        changed = {name: getattr(self, name) for name in CHOICES if getattr(self, name) != defaults[name]}
        return [f"{name}={'true' if value is True else value}" for name, value in changed.items()]

    def _model(self) -> str:
        """The text before the weights."""
        return {"open_clip": self.model, "timm": f"timm:{self.model}"}.get(self.kind, self.kind)


def _split_options(text: str) -> tuple[str, dict[str, str | bool]]:
    """The text before the options, and {option: value}; a path may contain commas."""
    name, options = re.sub(rf":({'|'.join(CHOICES)})=", r",\1=", text), {}
    while match := re.fullmatch(r"(.*),\s*(\w+)\s*=([^,]*)", name, re.DOTALL):
        name, option, value = match.group(1), match.group(2), match.group(3).strip()
        if option not in CHOICES:
            hint = nearest(option, CHOICES, f"available: {', '.join(CHOICES)}")
            raise CdirError(f'encoder "{text}" has no option "{option}"; {hint}')
        if option in options:
            raise CdirError(f'encoder "{text}" has the option {option} twice: keep one')
        options[option] = option_value(option, value)
    return name.strip(), options


def nearest(name: str, available: Iterable[str], otherwise: str) -> str:
    """The names that resemble `name`, for an error message; `otherwise` if there are none."""
    matches = difflib.get_close_matches(name, list(available), n=3, cutoff=0.4)
    return f"nearest: {', '.join(matches)}" if matches else otherwise


def option_value(option: str, value: str) -> str | bool:
    """The value of an option. Raises CdirError unless it is one of CHOICES[option]."""
    if value not in CHOICES[option]:
        raise CdirError(f'{option} "{value}" is not available: give one of {", ".join(CHOICES[option])}')
    return value == "true" if option == "pad" else value


def _timm(remainder: str, text: str) -> tuple[str, str]:
    """Model and weights in the text after "timm:"."""
    model, colon, weights = remainder.partition(":")
    if not model or (colon and not weights):
        raise CdirError(f'encoder "{text}" is incomplete: write timm:MODEL, timm:MODEL:FILE or timm:MODEL:random')
    return model, weights


def _check_weights(spec: EncoderSpec, text: str) -> None:
    """Raise CdirError if required weights are missing, or if weights are given for a model that has only one set."""
    if spec.kind == MOBILENET and spec.weights:
        raise CdirError(f'encoder "{text}": {MOBILENET} has only one set of weights: write {MOBILENET}')
    if spec.kind == MOCO and not spec.weights:
        raise CdirError(f'encoder "{text}" names no weights: write {MOCO}:FILE, a checkpoint of MoCo v2')
    if spec.kind == "open_clip" and not (spec.model and spec.weights):
        hint = nearest(text, BUNDLED_NAMES, "or one of " + ", ".join(BUNDLED_NAMES))
        example = f"{spec.model or 'ViT-B-32'}:openai"
        raise CdirError(f'encoder "{text}" names no weights: write for example "{example}", or MODEL:FILE; {hint}')
