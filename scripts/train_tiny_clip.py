"""Train the bundled tiny CLIP on drawn image-caption pairs and write it, with its model card, into the package.

    python scripts/train_tiny_clip.py                 the whole training (about 30 minutes on two cores)
    python scripts/train_tiny_clip.py --stop 420000 --stages DIR --out DIR     to the end of the schedule, elsewhere
    python scripts/train_tiny_clip.py --samples 2000 --images 2000 --out /tmp/tiny     a quick trial

The mixture of domains is uneven on purpose, like the web data of CLIP: few infographs and even fewer quick drawings,
which creates a domain gap. The world, the model and the step at which training stops (before the end of its schedule)
were calibrated only by the pattern of vanilla CLIP (how its accuracy and precision vary over DomainNet's domains),
never by the gains of any method in the workbook.
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import open_clip
import torch
import typer
from bundled_models import Optimizer, clip_loss, environment, save_facts, save_model
from open_clip.transformer import PatchDropout
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from cdir_nb.data.world import DOMAINS, PRETRAINING_SEED, draw, drawings, load_world, source_digest
from cdir_nb.data.world.domains import SIZE
from cdir_nb.paths import TINY_CLIP

MODEL_CFG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 192, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
PREPROCESS_CFG = {"size": 64, "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
SHARES = {"real": 0.48, "painting": 0.20, "clipart": 0.22, "infograph": 0.02, "sketch": 0.075, "quickdraw": 0.005}
WORDS = {  # words for a domain in captions; about a third of the captions omit the domain
    "real": ["photo", "photograph", "picture"],
    "painting": ["painting", "oil painting", "watercolor"],
    "clipart": ["clipart", "clip art", "cartoon drawing"],
    "infograph": ["infograph", "infographic", "information chart"],
    "sketch": ["sketch", "pencil sketch", "pencil drawing"],
    "quickdraw": ["quickdraw", "quick drawing", "doodle"],
}
NAMED = [
    "a {word} of a {label}",
    "A {word} of a {label}.",
    "a {word} of the {label}",
    "a {word} style of {label}",
    "{label} {word}",
    "{word}, {label}",
    "one {label} in a {word}",
    "a {label}, {word}",
    "a {word} showing a {label}",
    "a good {word} of a {label}",
    "an old {word} of a {label}",
    "this is a {word} of a {label}",
]
UNNAMED = ["a {label}", "{label}", "the {label}", "one {label}", "this is a {label}", "my {label}", "{label} for sale"]
WRONG = 0.10  # fraction of captions that name another class, as captions on the web do
LABELS = sorted(drawings())
FAST_BFLOAT16 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")  # elsewhere 10 times slower than float32


def caption(label: str, domain: str, rng: np.random.Generator) -> str:
    """One caption for one image."""
    label = rng.choice(LABELS) if rng.random() < WRONG else label
    template = rng.choice(NAMED) if rng.random() < 0.65 else rng.choice(UNNAMED)
    text = template.format(label=label, word=rng.choice(WORDS[domain]))
    words = text.split()
    for i, word in enumerate(words[:-1]):
        if word in ("a", "A") and words[i + 1][0] in "aeio":
            words[i] += "n"
    return " ".join(words)


def caption_words() -> list[str]:
    """All words of all captions, which are the words that the model knows."""
    templates = " ".join([*NAMED, *UNNAMED]).replace("{word}", " ").replace("{label}", " ")
    words = [word for words in WORDS.values() for word in words]
    return sorted({"an", *" ".join([templates.replace(",", " , ").lower(), *words, *LABELS]).split()})


def _draw_many(job: tuple[int, list[tuple[str, str]]]) -> np.ndarray:
    first, rows = job
    return np.stack([np.asarray(draw(c, d, PRETRAINING_SEED, first + i)) for i, (c, d) in enumerate(rows)])


def draw_images(count: int, path: Path, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """(count, 64, 64, 3) uint8 on disk, and the (class, domain) of each row."""
    domains = rng.choice(list(SHARES), size=count, p=np.array(list(SHARES.values())) / sum(SHARES.values()))
    rows = list(zip(rng.choice(LABELS, size=count).tolist(), domains.tolist()))
    if path.exists():  # all drawn by an earlier run
        return np.load(path, mmap_mode="r"), rows
    pixels = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.uint8, (count, SIZE, SIZE, 3))
    jobs = [(first, rows[first : first + 1000]) for first in range(0, count, 1000)]
    with ProcessPoolExecutor() as pool:
        blocks = tqdm(pool.map(_draw_many, jobs), "drawing", len(jobs), mininterval=10)
        for (first, _), block in zip(jobs, blocks):
            pixels[first : first + len(block)] = block
    path.with_suffix(".part").rename(path)
    return pixels, rows


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(B, 64, 64, 3) uint8 -> (B, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@torch.no_grad()
def evaluate(
    model: open_clip.CLIP, tokenizer, unseen: list[str], per_class: int, seed: int
) -> dict[str, dict[str, float]]:
    """Zero-shot accuracy in every domain: over all classes, and over the unseen classes alone."""
    model.eval()
    world = load_world(per_class, seed)
    images = np.stack([np.asarray(world.image(i)) for i in range(len(world))])
    batches = [to_tensor(images[i : i + 500]) for i in range(0, len(images), 500)]
    embed = torch.cat([model.encode_image(batch, normalize=True) for batch in batches])
    columns = np.searchsorted(LABELS, unseen)
    accuracy = {}
    for domain in DOMAINS:
        text = model.encode_text(tokenizer([f"a {WORDS[domain][0]} of a {label}" for label in LABELS]), normalize=True)
        scores = (embed[world.domains == domain] @ text.T).numpy()
        truth = np.searchsorted(LABELS, world.labels[world.domains == domain])
        correct_among_unseen = columns[scores[:, columns].argmax(axis=1)] == truth
        accuracy[domain] = {
            "all classes": float((scores.argmax(axis=1) == truth).mean()),
            "unseen classes": float(correct_among_unseen[np.isin(truth, columns)].mean()),
        }
    model.train()
    return accuracy


def save(model: open_clip.CLIP, out: Path) -> None:
    """Write the weights and the config."""
    state = {name: x for name, x in model.state_dict().items() if name != "attn_mask"}
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG, "words": caption_words()}
    save_model(out, state, config)


def main(
    samples: Annotated[int, typer.Option(help="length of the learning-rate schedule in image-caption pairs")] = 420_000,
    images: Annotated[int, typer.Option(help="number of different images to draw")] = 200_000,
    batch: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    unmasked: Annotated[float, typer.Option(help="final fraction of the schedule that uses all patches")] = 0.2,
    stop: Annotated[int, typer.Option(help="stop after this number of pairs")] = 313_344,
    work: Annotated[Path, typer.Option(help="folder for the drawn images (12 KB each)")] = Path("/tmp"),
    out: Annotated[Path, typer.Option(help="folder for the model")] = TINY_CLIP,
    stages: Annotated[
        Path | None, typer.Option(help="folder for a checkpoint after every twelfth of the schedule")
    ] = None,
    unseen: str = "banana,butterfly,cactus,giraffe,guitar,helicopter,rabbit,scissors,tree,windmill",
) -> None:
    """Draw the images, train with half the patches dropped (FLIP, Li et al. 2023), and write the model."""
    started, rng = time.time(), np.random.default_rng(seed)
    torch.manual_seed(seed)
    pixels, rows = draw_images(images, work / f"tiny-clip-{images}-seed-{seed}-{source_digest()}.npy", rng)
    print(f"drew {images} images in {time.time() - started:.0f} s", flush=True)
    model = open_clip.CLIP(**MODEL_CFG)
    model.visual.patch_dropout = PatchDropout(0.5)
    tokenizer = open_clip.SimpleTokenizer(context_length=MODEL_CFG["text_cfg"]["context_length"])
    steps, log, unseen_classes = samples // batch, [], unseen.split(",")
    optimizer = Optimizer(model, lr, steps, fused=True)
    order = np.concatenate([rng.permutation(images) for _ in range(samples // images + 2)])
    began = time.time()
    for step in tqdm(range(min(steps, stop // batch)), "training", mininterval=30):
        if step == int(steps * (1 - unmasked)):
            model.visual.patch_dropout = torch.nn.Identity()
        indices = np.sort(order[step * batch : (step + 1) * batch])
        image = to_tensor(pixels[indices])
        text = tokenizer([caption(*rows[i], rng) for i in indices])  # pyright: ignore[reportCallIssue]
        # the fused kernel is faster in float32, but takes twice as long in bfloat16
        attention = sdpa_kernel(SDPBackend.MATH) if FAST_BFLOAT16 else nullcontext()
        with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16), attention:
            features = model(image, text)
        loss = clip_loss(*features)
        optimizer.step(loss)
        if step % 200 == 199:
            print(f"step {step + 1}: loss {loss.item():.3f}, scale {model.logit_scale.exp().item():.1f}", flush=True)
        if (step + 1) % max(1, steps // 12) == 0:
            accuracy = evaluate(model, tokenizer, unseen_classes, 5, 99)
            log.append({"samples": (step + 1) * batch, "loss": round(loss.item(), 3), **accuracy})
            save(model, out)
            if stages:
                save(model, stages / f"{log[-1]['samples']}-samples")
            print(json.dumps(log[-1]), flush=True)
    save(model, out)
    facts = {
        "images": images, "samples": (step + 1) * batch, "schedule": steps * batch, "batch": batch, "lr": lr,
        "seed": seed, "domain shares": SHARES, "wrong captions": WRONG,
    }  # fmt: skip
    accuracy = evaluate(model, tokenizer, unseen_classes, 30, 0)
    final = {"final loss": round(loss.item(), 3), "zero-shot accuracy": accuracy}
    save_facts(out, {**facts, **environment(began, digits=None), **final, "log": log})


if __name__ == "__main__":
    typer.run(main)
