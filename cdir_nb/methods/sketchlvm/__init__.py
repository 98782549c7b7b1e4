"""SketchLVM: prompts for each domain and normalisation layers of CLIP, trained with labels (Sain et al., CVPR 2023)."""

from cdir_nb.methods.method import CLIP, PAIR, Method
from cdir_nb.methods.sketchlvm.method import SketchLvmSettings, SketchLvmTraining

TINY = SketchLvmSettings(batch_size=32, epochs=8)
REAL = SketchLvmSettings(prompts=0, batch_size=32, epochs=6, train_images=1300)

SKETCHLVM = Method(
    name="SketchLVM",
    paper="Sain et al., CVPR 2023",
    build=SketchLvmTraining,
    settings=SketchLvmSettings,
    learns_from=("images", "labels", "class names"),
    fitted_for=PAIR,
    encoders=CLIP,
    variants={
        "SketchLVM, full fine-tuning": {"freeze": "nothing"},
        "SketchLVM, head only": {"freeze": "all but the head", "prompts": 0},
        "SketchLVM w/o prompts": {"prompts": 0},
        "SketchLVM w/o class texts": {"weight_class_text": 0.0},
    },
    named={"tiny-clip": TINY, "real-clip": REAL},
    for_encoder={"tiny-clip": "tiny-clip", "real-clip": "real-clip"},
)

__all__ = ["SKETCHLVM", "SketchLvmSettings", "SketchLvmTraining"]
