"""The bundled CLIP models, tiny-clip and real-clip: each has a config and half-precision weights."""

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors import safe_open
from safetensors.torch import load_file

from cdir_nb import paths
from cdir_nb.encoders.backbones import mobilenet_v2
from cdir_nb.encoders.built import BuiltModel
from cdir_nb.encoders.spec import EncoderSpec
from cdir_nb.encoders.weights import damaged_config, load_weights, loading, read_config, refuse_integers

KNOWN_TOKENS = "text.token_ids"  # in real-clip's file: the tokens of its pretraining texts, one row of embeddings each


def build_bundled(spec: EncoderSpec) -> BuiltModel:
    """Build the bundled CLIP of a specification, or a retrained one (real-clip:FOLDER), without applying options.

    Raises CdirError if its files are missing or damaged.
    """
    folder = spec.path or {"tiny-clip": paths.TINY_CLIP, "real-clip": paths.REAL_CLIP}[spec.kind]
    name = f"{spec.kind}:{spec.path.name}" if spec.path else spec.kind
    kind, load = {"tiny-clip": (CLIP, load_weights), "real-clip": (CustomTextCLIP, _load_real)}[spec.kind]
    config = read_config(folder, name)
    try:
        model: Any = kind(**config["model_cfg"])
        set_model_preprocess_cfg(model, merge_preprocess_dict(PreprocessCfg(), config["preprocess_cfg"]))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_config(folder, name, error) from error
    load(model.eval(), folder / "model.safetensors", name)
    pretraining = tuple(config.get("pretraining", ()))
    origin = "bundled model, trained on drawn images only"
    if spec.kind == "real-clip":
        origin = f"bundled tower of mobilenet-v2, texts aligned on real images of {', '.join(pretraining)}"
    model_cfg = config["model_cfg"]
    tokenizer = open_clip.SimpleTokenizer(context_length=model_cfg["text_cfg"]["context_length"])
    return BuiltModel(
        name=name,
        model=model,
        tokenizer=tokenizer,
        model_cfg=model_cfg,
        preprocess_cfg=open_clip.get_model_preprocess_cfg(model),
        quick_gelu=model_cfg.get("quick_gelu", False),
        origin=origin,
        pretraining=pretraining,
        known_tokens=_known_tokens(folder, config, tokenizer),
    )


def _known_tokens(folder: Path, config: dict[str, Any], tokenizer: open_clip.SimpleTokenizer) -> frozenset[int] | None:
    """The tokens of the pretraining texts: from the config's list of words, or as stored beside the weights."""
    if "words" in config:
        return frozenset(token for word in config["words"] for token in tokenizer.encode(word))
    with safe_open(folder / "model.safetensors", "pt") as file:
        stored = KNOWN_TOKENS in list(file.keys())
        return frozenset(file.get_tensor(KNOWN_TOKENS).tolist()) if stored else None


def _load_real(model: Any, file: Path, name: str) -> None:
    """Load real-clip: the image trunk is the bundled MobileNetV2, whose weights are stored once, in its own folder."""
    model.visual.trunk = mobilenet_v2()
    with loading(model, file, name):
        state = with_whole_vocabulary(load_file(file), model.text.vocab_size)
        trunk = {f"visual.trunk.{key}": value for key, value in model.visual.trunk.state_dict().items()}
        refuse_integers(state, model, file)
        model.load_state_dict(state | trunk)


def with_whole_vocabulary(state: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """The state with token embeddings for all `size` tokens; the file stores only tokens of the pretraining texts.

    The embeddings of all other tokens were never trained; they are set to zero.
    """
    state = dict(state)
    rows = state["text.token_embedding.weight"]
    whole = torch.zeros(size, rows.shape[1], dtype=rows.dtype)
    whole[state.pop(KNOWN_TOKENS).long()] = rows
    return state | {"text.token_embedding.weight": whole}
