"""The CLIP models that come with the package, tiny-clip and real-clip: a config and half-precision weights each."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors.torch import load_file

from cdir_nb import paths
from cdir_nb.encoders.backbones import BuiltModel, mobilenet_v2
from cdir_nb.encoders.spec import BUNDLED_FILES, EncoderSpec
from cdir_nb.encoders.weights import first_line, load_problem, load_weights, refuse_no_numbers, refuse_whole_numbers
from cdir_nb.errors import CdirError

KNOWN_TOKENS = "text.token_ids"  # in real-clip's file: the tokens that its pretraining read, one row of embeddings each


def build_bundled(spec: EncoderSpec) -> BuiltModel:
    """The bundled CLIP that `spec` names, or another training of it (real-clip:FOLDER), without its options.

    Raises CdirError where its files are missing or damaged.
    """
    kinds = {"tiny-clip": (_build_tiny, paths.TINY_CLIP), "real-clip": (_build_real, paths.REAL_CLIP)}
    build, bundled = kinds[spec.kind]
    name = f"{spec.kind}:{spec.path.name}" if spec.path else spec.kind
    return build(spec.path or bundled, name)


def _build_tiny(folder: Path, name: str) -> BuiltModel:
    parts = _read_config(folder, name)
    model = _create(CLIP, folder, parts, name)
    load_weights(model, folder / "model.safetensors", name)
    return _built(name, model, parts, "bundled model, trained on drawn images only")


def _build_real(folder: Path, name: str) -> BuiltModel:
    """CustomTextCLIP on the bundled MobileNetV2, whose weights are stored there and not here a second time."""
    parts = _read_config(folder, name)
    model = _create(CustomTextCLIP, folder, parts, name)
    model.visual.trunk = mobilenet_v2()
    file = folder / "model.safetensors"
    try:
        state = with_whole_vocabulary(load_file(file), model.text.vocab_size)
        trunk = {f"visual.trunk.{key}": value for key, value in model.visual.trunk.state_dict().items()}
        refuse_whole_numbers(state, model, file)
        model.load_state_dict(state | trunk)
    except CdirError:
        raise
    except Exception as error:  # safetensors and torch each raise kinds of their own
        raise CdirError(load_problem(error, file, name)) from error
    refuse_no_numbers(model, file)
    origin = f"bundled tower of mobilenet-v2, texts aligned on real images of {', '.join(parts['pretraining'])}"
    return _built(name, model, parts, origin, tuple(parts["pretraining"]))


def with_whole_vocabulary(state: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """A state whose token embeddings, stored for the tokens that pretraining read, are those of all tokens.

    A token that was never read was never trained. It is a zero vector: it says nothing.
    """
    state = dict(state)
    rows = state["text.token_embedding.weight"]
    whole = torch.zeros(size, rows.shape[1], dtype=rows.dtype)
    whole[state.pop(KNOWN_TOKENS).long()] = rows
    return state | {"text.token_embedding.weight": whole}


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    config = folder / "config.json"
    for file in [folder / name for name in BUNDLED_FILES]:
        if not file.is_file():
            raise CdirError(f"{name} is not complete: {file} is missing; install the package again")
    try:
        return json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CdirError(_damaged(name, config, error)) from error


def _create(kind: type, folder: Path, parts: dict[str, Any], name: str) -> torch.nn.Module:
    try:
        model = kind(**parts["model_cfg"])
        set_model_preprocess_cfg(model, merge_preprocess_dict(PreprocessCfg(), parts["preprocess_cfg"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CdirError(_damaged(name, folder / "config.json", error)) from error
    return model.eval()


def _damaged(name: str, config: Path, error: Exception) -> str:
    return f"{name}: {config} is damaged ({first_line(error)}); install the package again"


def _built(
    name: str, model: torch.nn.Module, parts: dict[str, Any], origin: str, pretraining: tuple[str, ...] = ()
) -> BuiltModel:
    model_cfg = parts["model_cfg"]
    tokenizer = open_clip.SimpleTokenizer(context_length=model_cfg["text_cfg"]["context_length"])
    preprocess_cfg = open_clip.get_model_preprocess_cfg(model)
    quick_gelu = model_cfg.get("quick_gelu", False)
    return BuiltModel(name, model, tokenizer, model_cfg, preprocess_cfg, quick_gelu, origin, pretraining)
