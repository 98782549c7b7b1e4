"""Settings of SnMpNet's harness with their sources, and its named settings: as written, as released, for two cores."""

from typing import Any, Literal

from cdir_nb.methods.settings import Settings, setting

HEAD_ONLY = "heads on a frozen trunk (not the paper's training)"  # in `train_set` of records, and on pages


class HarnessSettings(Settings):
    """Settings that SnMpNet and its baselines have in common.

    Defaults are the paper's values, and the released code's for values that the paper does not give.
    Raises CdirError for an invalid value.
    """

    method = "SnMpNet"

    trains: Literal["all", "head"] = setting(
        "all",
        "paper: the whole network; 'head' is our default on two cores: a frozen trunk, with attention and heads "
        "trained on its feature maps of views drawn beforehand",
    )
    mix: bool = setting(True, "paper, equation 3; False only in ablations")
    beta: float = setting(1.0, "released code: lambda = 1 (2 with quickdraw held out); not in the paper", gt=0)
    within_domain: float = setting(
        0.5,
        "probability of mixing inside a domain (Bernoulli's gamma). Not in the paper: the middle value of the released "
        "code's curriculum",
        ge=0,
        le=1,
    )
    curriculum: bool = setting(
        False,
        "paper: fixed. Released code: Beta's parameter is 0.1, lambda / 2, then lambda; mixing inside a domain has "
        "probability 1 in the first three epochs, then 0.5, then 0",
    )
    semantics: str = setting(
        "",
        "class vectors: an .npz file with `names` and `vectors`, as the paper's word vectors (none come with the "
        "workbook); or the name of a CLIP, whose text tower gives them (our default on two cores)",
    )
    unit_semantics: bool = setting(
        True, "paper: class vectors of DomainNet have unit length (GloVe for Sketchy: not said); released code: raw"
    )
    invert: tuple[str, ...] = setting(
        (), "paper: none; released code inverts the colours of domains named sketch and quickdraw", strict=False
    )
    attention_width: int = setting(380, "released code; in the paper only named", ge=1)
    image_size: int = setting(224, "released code: width and height resized to 224, aspect not kept", ge=32)
    least_crop: float = setting(0.8, "released code: random crops of 0.8 to 1 of the area, random flips", gt=0, le=1)
    jitter: float = setting(0.4, "released code: brightness, contrast, saturation and hue by up to 0.4", ge=0, le=0.5)
    learning_rate: float = setting(1e-3, "paper, section 4.4 (SGD)", gt=0)
    least_learning_rate: float = setting(1e-6, "paper, section 4.4", gt=0)
    decay_epochs: int = setting(20, "paper, section 4.4: decayed exponentially to 1e-6 in 20 epochs", ge=1)
    optimizer: Literal["SGD", "Adam"] = setting(
        "SGD", "paper, section 4.4; Adam is our default on two cores, where one rate has to suit every loss"
    )
    momentum: float = setting(0.9, "paper, section 4.4", ge=0, lt=1)
    nesterov: bool = setting(True, "paper, section 4.4; released code: False")
    weight_decay: float = setting(0.0, "released code", ge=0)
    batch_size: int = setting(60, "paper, section 4.4; released code: 64 on Sketchy and TU-Berlin", ge=2)
    epochs: int = setting(100, "paper, section 4.4: at most 100", ge=0)
    patience: int = setting(15, "paper, section 4.4: early stopping of 15 epochs", ge=1)
    validation_fraction: float = setting(0.3, "released code: 30 % of the queries of each validation class", gt=0, le=1)
    train_images: int = setting(
        0, "our default; training images of each class and domain, drawn at random, 0: all", ge=0
    )
    pools: int = setting(
        3,
        "our default, with trains='head' only: epochs of views drawn and embedded beforehand, then used in turn",
        ge=1,
    )
    mixed_precision: bool | None = setting(None, "our default; None: bfloat16 on a GPU, single precision elsewhere")


RELEASED: dict[str, Any] = {
    "curriculum": True,
    "nesterov": False,
    "unit_semantics": False,
    "invert": ("sketch", "quickdraw"),
}
# On two cores the trunk is frozen and images have 96 pixels. The learning rate was chosen on validation classes.
TWO_CORES: dict[str, Any] = {
    "trains": "head",
    "semantics": "tiny-clip",
    "image_size": 96,
    "optimizer": "Adam",
    "learning_rate": 3e-3,
    "least_learning_rate": 3e-5,
    "epochs": 20,
    "decay_epochs": 20,
    "patience": 20,
}
BY_ENCODER = {"mobilenet-v2": "as written, two cores"}


def named_settings(kind: type[HarnessSettings], **released: Any) -> dict[str, HarnessSettings]:
    """The named settings of a method of this harness; `released` adds values of its released code."""
    as_released = RELEASED | released
    return {
        "as written": kind(),
        "as released": kind(**as_released),
        "as written, two cores": kind(**TWO_CORES),
        "as released, two cores": kind(**as_released | TWO_CORES, pools=6),
    }
