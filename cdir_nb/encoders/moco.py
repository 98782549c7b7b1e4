"""MoCo v2's checkpoints: ResNet-50 with its head, trained on ImageNet without labels (UCDIR starts from one)."""

from dataclasses import replace
from pathlib import Path

import torch

from cdir_nb.encoders.backbones import BuiltBackbone, build_backbone
from cdir_nb.encoders.spec import MOCO, RANDOM, EncoderSpec
from cdir_nb.encoders.weights import first_line
from cdir_nb.errors import CdirError

PREFIX = "module.encoder_q."  # the query encoder in MoCo's released checkpoints
HEAD = {"fc.0.weight": "0.weight", "fc.0.bias": "0.bias", "fc.2.weight": "2.weight", "fc.2.bias": "2.bias"}
HEAD_SHAPES = dict(zip(HEAD, ((2048, 2048), (2048,), (128, 2048), (128,))))


def build_moco(spec: EncoderSpec) -> BuiltBackbone:
    """ResNet-50 of moco-v2:FILE, without its options: facebookresearch/moco's moco_v2_800ep_pretrain.pth.tar.

    Every tensor is checked by name and shape. Raises CdirError for a missing, damaged or foreign file.
    """
    built = build_backbone(EncoderSpec("timm", "resnet50", RANDOM))
    state = _query_encoder(spec.path)
    _check(spec.path, state, {name: tuple(x.shape) for name, x in built.model.state_dict().items()} | HEAD_SHAPES)
    built.model.load_state_dict({name: x for name, x in state.items() if name not in HEAD})
    head = {new: state[old].float() for old, new in HEAD.items()}  # two linear layers to 128 dimensions
    origin = "MoCo v2 checkpoint, trained on ImageNet without labels"
    return replace(built, name=f"{MOCO}:{spec.path.name}", origin=origin, head=head)


def _query_encoder(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of the query encoder, without the prefix of their names."""
    if not file.is_file():
        raise CdirError(f"checkpoint {file} does not exist, check the path")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
        return {name.removeprefix(PREFIX): x for name, x in state.items() if name.startswith(PREFIX)}
    except Exception as error:  # torch, pickle and zip each raise kinds of their own
        problem = f"checkpoint {file} is damaged or not MoCo's ({first_line(error)}): download it again"
        raise CdirError(problem) from error


def _check(file: Path | str, state: dict[str, torch.Tensor], wanted: dict[str, tuple[int, ...]]) -> None:
    """CdirError naming the first tensor that is missing, unknown, or of another shape."""
    found = {name: tuple(x.shape) for name, x in state.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise CdirError(
                f"checkpoint {file} is not MoCo v2's ResNet-50: {name} is {found.get(name, 'missing')}, expected "
                f"{wanted.get(name, 'no such tensor')}; give moco_v2_800ep_pretrain.pth.tar"
            )
