"""A folder of drawn images, laid out as <domain>/<class>/<number>.png."""

from pathlib import Path

from cdir_nb.data.world import draw


def draw_folder(root: Path, domains: tuple[str, ...], classes: tuple[str, ...], per_class: int) -> Path:
    """Photos are drawn in the world's style "real"."""
    for domain in domains:
        for label in classes:
            (root / domain / label).mkdir(parents=True)
            for number in range(per_class):
                image = draw(label, "real" if domain == "photo" else domain, 5, number)
                image.save(root / domain / label / f"{number}.png")
    return root
