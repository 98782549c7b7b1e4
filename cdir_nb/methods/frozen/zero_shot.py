"""Old module name, for notebooks; use `cdir_nb.encoders.zero_shot`."""

from cdir_nb.encoders.zero_shot import (  # noqa: F401
    ENSEMBLE,
    accuracy,
    accuracy_by,
    class_prompts,
    confusion,
    most_confused,
    prompt_embeddings,
    zero_shot_labels,
    zero_shot_scores,
)
