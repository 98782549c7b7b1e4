"""Search in a folder as a new user does it: by image and by text, after changes, for near duplicates, by file."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.data import as_image_set, open_folder
from cdir_nb.data.world import draw
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.search import Index, contact_sheet

CLASSES, DOMAINS = ("guitar", "tree", "dog"), ("real", "sketch")


class Colours:
    """An encoder without a model: the mean colour of each quarter of an image."""

    identity = "colours"

    def __init__(self):
        self.embedded = 0

    def embed_images(self, images, *, progress=True):
        images = as_image_set(images)
        self.embedded += len(images)
        small = [np.asarray(images.image(row).resize((4, 4)), float).ravel() + 1 for row in range(len(images))]
        return np.array(small)


def noise(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def noisy(tmp_path, fresh_cache):
    """Thirty images of noise in two domains, without classes."""
    for number in range(30):
        noise(tmp_path / "mine" / ("photo" if number % 3 else "ink") / f"{number}.png", number)
    return tmp_path / "mine"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn") / "mine"
    for domain in DOMAINS:
        for label in CLASSES:
            (root / domain / label).mkdir(parents=True)
            for number in range(4):
                draw(label, domain, 5, number).save(root / domain / label / f"{number}.png")
    draw("guitar", "sketch", 6, 9).save(root.parent / "query.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield root


def search(*words):
    return CliRunner().invoke(app, ["search", *map(str, words), "--encoder", "tiny-clip"])


def brute_force(index, rows, k):
    """Names of the k best for each row, by numpy, without the row itself and its copies."""
    names, content = index.table["file"].to_numpy(), index.table["content"].to_numpy()
    for row in rows:
        scores = index.vectors.astype(float) @ index.vectors[row].astype(float)
        scores[content == content[row]] = -9
        yield names[np.argsort(-scores, kind="stable")[:k]].tolist()


# --- `cdir search`


@pytest.mark.medium
def test_search_by_image_and_by_text(drawn):
    done = search(drawn, "--query", drawn.parent / "query.png", "--k", 4, "--json")
    results = json.loads(done.stdout)
    assert [set(result) for result in results] == [{"rank", "file", "score", "domain", "label"}] * 4
    assert [result["rank"] for result in results] == [1, 2, 3, 4]
    assert results[0]["label"] == "guitar" and (drawn / results[0]["file"]).is_file()
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    table = list(csv.DictReader(io.StringIO(search(drawn, "--text", "a photo of a dog", "--csv").stdout)))
    assert table[0]["label"] == "dog" and len(table) == 10
    plain = search(drawn, "--text", "a photo of a dog", "--domain", "sketch", "--k", 3).stdout.splitlines()
    assert len(plain) == 3 and all("sketch/" in line for line in plain)


@pytest.mark.medium
def test_an_image_of_the_folder_does_not_find_itself_and_post_processing_changes_scores(drawn):
    words = (drawn, "--query", drawn / "sketch/tree/0.png", "--domain", "real", "--json")
    plain = json.loads(search(*words).stdout)
    own = json.loads(search(drawn, "--query", drawn / "sketch/tree/0.png", "--k", 100, "--json").stdout)
    assert len(own) == 23 and "sketch/tree/0.png" not in {result["file"] for result in own}
    for options in (["--centre", "--query-domain", "sketch"], ["--expand"]):
        changed = json.loads(search(*words, *options).stdout)
        assert changed[0]["label"] == "tree" and changed[0]["score"] != plain[0]["score"]


@pytest.mark.medium
def test_open_shows_tiles(drawn, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    done = search(drawn, "--text", "a photo of a tree", "--k", 3, "--open")
    (url,) = opened
    page = Path(url.removeprefix("file://")).read_text(encoding="utf-8")
    assert page.count("<img") == 3 and page.count('src="data:image/jpeg') == 3 and "http" not in page
    assert url.removeprefix("file://") in done.stderr


@pytest.mark.medium
@pytest.mark.parametrize(
    "words,named",
    [
        (["{mine}", "--query", "none.png"], "none.png"),
        (["{mine}", "--query", "{notes}"], "notes.txt"),
        (["{empty}", "--text", "a dog"], "empty"),
        (["{mine}/none", "--text", "a dog"], "none"),
        (["{mine}", "--text", "a dog", "--domain", "moon"], "moon"),
        (["{mine}", "--query", "{image}", "--centre", "--query-domain", "moon"], "moon"),
        (["{mine}", "--text", ""], "empty"),
        (["{mine}", "--text", "a dog", "--encoder", "mobilenet-v2"], "mobilenet-v2"),
        (["{mine}"], "--query"),
        (["{mine}", "--text", "a", "--query", "b"], "--query"),
        (["{mine}", "--text", "a dog", "--centre", "--query-domain", "ink"], "--centre"),
        (["{mine}", "--query", "{image}", "--centre"], "--query-domain"),
        (["{mine}", "--text", "a dog", "--json", "--csv"], "--json"),
    ],
)
def test_bad_input_is_answered_in_one_line(noisy, words, named):
    (noisy.parent / "notes.txt").write_text("no image")
    (noisy.parent / "empty").mkdir()
    paths = {"mine": noisy, "notes": noisy.parent / "notes.txt", "empty": noisy.parent / "empty",
             "image": noisy / "ink/0.png"}  # fmt: skip
    words = ["search", *(word.format(**paths) for word in words)]
    done = CliRunner().invoke(app, words + ([] if "--encoder" in words else ["--encoder", "tiny-clip"]))
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert named in done.stderr


# --- Index


def test_results_are_those_of_brute_force(noisy):
    index = Index(open_folder(noisy, progress=False), Colours())
    for row, expected in zip(range(30), brute_force(index, range(30), 7)):
        found = index.search(noisy / index.table["file"][row], k=7)
        assert [result.file for result in found] == expected
    assert {result.domain for result in index.search(noisy / "photo/1.png", k=99, domain="ink")} == {"ink"}
    with pytest.raises(CdirError, match="moon"):
        index.search(noisy / "photo/1.png", domain="moon")


def test_centred_scores_are_those_by_hand(noisy):
    index = Index(open_folder(noisy, progress=False), Colours())
    query = index.vectors[list(index.table["file"]).index("ink/3.png")].astype(float)
    of = {name: (index.table["domain"] == name).to_numpy() for name in ("ink", "photo")}
    mean = {name: index.vectors[rows].astype(float).mean(0) for name, rows in of.items()}
    q, g = query - mean["ink"], index.vectors[of["photo"]] - mean["photo"]
    expected = np.sort(g @ q / np.linalg.norm(g, axis=1) / np.linalg.norm(q))[::-1]
    found = index.search(noisy / "ink/3.png", k=99, domain="photo", centred_from="ink")
    assert [result.score for result in found] == pytest.approx(expected, abs=1e-5)


def test_ten_files_are_added_and_five_deleted(noisy, tmp_path):
    encoder = Colours()
    Index(open_folder(noisy, progress=False), encoder).save(tmp_path / "index")
    assert encoder.embedded == 30
    index = Index.load(tmp_path / "index", encoder)
    for number in range(100, 110):
        noise(noisy / "photo" / f"{number}.png", number)
    for number in (1, 2, 4, 5, 7):
        (noisy / "photo" / f"{number}.png").unlink()
    (noisy / "photo" / "8.png").rename(noisy / "photo" / "renamed.png")
    changes = index.update(open_folder(noisy, progress=False))
    assert sorted(changes.added) == sorted(f"photo/{number}.png" for number in range(100, 110))
    assert sorted(changes.removed) == [f"photo/{number}.png" for number in (1, 2, 4, 5, 7)]
    assert encoder.embedded == 40 and len(index) == 35
    fresh = Index(open_folder(noisy, progress=False), encoder)
    assert np.array_equal(index.vectors, fresh.vectors) and index.table.equals(fresh.table)
    index.save(tmp_path / "index")
    assert len(list((tmp_path / "index").iterdir())) == 3, "the former files are removed"
    loaded = Index.load(tmp_path / "index", encoder)
    assert isinstance(loaded.vectors, np.memmap) and loaded.table.equals(fresh.table)
    assert loaded.search(noisy / "photo/105.png") == fresh.search(noisy / "photo/105.png")
    assert "photo/renamed.png" in set(loaded.table["file"])
    assert index.update(open_folder(noisy, progress=False)) == ((), ())


def test_near_duplicates_are_groups(tmp_path, fresh_cache):
    for number in range(12):
        noise(tmp_path / f"{number}.png", number)
    Image.open(tmp_path / "3.png").resize((64, 64)).save(tmp_path / "large.png")
    Image.open(tmp_path / "3.png").save(tmp_path / "jpeg.jpg", quality=95)
    shutil.copy(tmp_path / "5.png", tmp_path / "copy.png")
    index = Index(open_folder(tmp_path, skip_bad=True, progress=False), Colours())
    groups = index.near_duplicates(0.999)
    assert [set(group) for group in groups] == [{"3.png", "large.png", "jpeg.jpg"}, {"5.png", "copy.png"}]
    with pytest.raises(CdirError, match="1.5"):
        index.near_duplicates(1.5)


def test_a_stored_index_refuses_what_it_was_not_made_for(noisy, tmp_path):
    index, other = Index(open_folder(noisy, progress=False), Colours()), Colours()
    index.save(tmp_path / "index")
    other.identity = "other colours"
    with pytest.raises(CdirError, match="other colours"):
        Index.load(tmp_path / "index", other)
    with pytest.raises(CdirError, match="holds no index"):
        Index.load(noisy, Colours())
    (vectors,) = (tmp_path / "index").glob("*.npy")
    vectors.write_bytes(vectors.read_bytes()[:500])
    with pytest.raises(CdirError, match="damaged"):
        Index.load(tmp_path / "index", Colours())
    with pytest.raises(CdirError, match="embed_texts"):
        index.search_text("a dog")
    with pytest.raises(CdirError, match="no images"):
        index.update(open_folder(noisy, progress=False).select("moon"))


def test_names_and_labels_survive_a_file(tmp_path, fresh_cache):
    """Labels that pandas would read as missing, commas, quotes and line breaks."""
    root = tmp_path / "mine"
    for number, label in enumerate(("NA", "a, b", 'the "c"', "d\ne", "é")):
        noise(root / "photo" / label / "null.png", number)
    index = Index(open_folder(root, progress=False), Colours())
    index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index", Colours()).table.equals(index.table)


def test_approximate_search_finds_most_and_filters(noisy, tmp_path):
    pytest.importorskip("faiss")
    index = Index(open_folder(noisy, progress=False), Colours())
    rng = np.random.default_rng(0)
    index.vectors = rng.normal(size=(30, 48)).astype(np.float32)
    index.vectors /= np.linalg.norm(index.vectors, axis=1, keepdims=True)
    query = noisy / "ink/3.png"
    with pytest.raises(CdirError, match="make_approximate"):
        index.search(query, approximate=True)
    index.make_approximate()
    exact = index.search(query, k=8, domain="photo")
    assert index.search(query, k=8, domain="photo", approximate=True) == exact, "one list holds all"
    pytest.importorskip(
        "faiss.contrib.torch_utils"
    )  # it replaces the methods of faiss's indexes, for the whole process
    assert index.search(query, k=8, domain="photo", approximate=True) == exact
    index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index", Colours()).search(query, k=8, domain="photo", approximate=True) == exact


# --- images and layouts


def test_paths_and_images_in_memory_are_embedded_alike(noisy):
    files = [noisy / "ink/0.png", str(noisy / "photo/1.png")]
    from_files = as_image_set(files)
    in_memory = as_image_set([Image.open(file) for file in files])
    assert [from_files.image(row).tobytes() for row in (0, 1)] == [in_memory.image(row).tobytes() for row in (0, 1)]
    assert as_image_set(files[0]).keys == (str(files[0]),) and as_image_set(from_files) is from_files
    looks = [from_files.looks[digest].pixels for digest in from_files.digests]
    assert list(in_memory.digests) == looks, "an image in memory finds its own file"
    with pytest.raises(CdirError, match="7"):
        as_image_set([7])


@pytest.mark.parametrize(
    "paths,domain,label",
    [(["a/b/1.png", "a/c/2.png"], "a", "b"), (["a/1.png", "b/2.png"], "a", ""), (["1.png", "2.png"], "mine", "")],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_open_folder_takes_every_layout(tmp_path, fresh_cache, paths, domain, label, zipped):
    root = tmp_path / "mine"
    for number, path in enumerate(paths):
        noise(root / path, number)
    if zipped:
        root = shutil.make_archive(str(root), "zip", root)
    images = open_folder(root, progress=False)
    assert (images.domains[0], images.labels[0], len(images)) == (domain, label, 2)


def test_open_folder_refuses_or_skips_what_is_no_image(noisy):
    (noisy / "photo" / "notes.txt").write_text("no image")
    with pytest.raises(CdirError, match="notes.txt"):
        open_folder(noisy, progress=False)
    assert len(open_folder(noisy, skip_bad=True, progress=False)) == 30


def test_a_sheet_is_escaped():
    page = contact_sheet("<b>", [{"src": "data:,", "alt": '"x"', "note": "<i>\n2", "kind": "right"}])
    assert "<b>" not in page and "<i>" not in page and '"x"' not in page and "solid" in page


@pytest.mark.medium
def test_a_model_of_the_user_is_an_encoder(noisy):
    import torch

    from cdir_nb.encoders import wrap_model

    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    encoder = wrap_model(model, "means", image_size=16, mean=(0, 0, 0), std=(1, 1, 1))
    images = open_folder(noisy, progress=False)
    emb = encoder.embed_images([noisy / "ink/0.png", Image.open(noisy / "photo/1.png")], progress=False)
    pixels = np.asarray(Image.open(noisy / "ink/0.png"), float).reshape(4, 4, 4, 4, 3).mean((1, 3)) / 255
    assert emb.shape == (2, 48) and emb[0].numpy() == pytest.approx(pixels.transpose(2, 0, 1).ravel(), abs=1e-5)
    assert len(Index(images, encoder).search(noisy / "ink/0.png")) == 10
    with pytest.raises(CdirError, match="flat"):
        wrap_model(torch.nn.Identity(), "flat")


@pytest.mark.medium
def test_tiny_clip_agrees_with_the_command(drawn):
    index = Index(open_folder(drawn, progress=False), load_encoder("tiny-clip"), progress=False)
    done = search(drawn, "--text", "a photo of a dog", "--json")
    assert [vars(result) for result in index.search_text("a photo of a dog")] == json.loads(done.stdout)


@pytest.mark.medium
def test_the_examples_of_the_readme_run(drawn, tmp_path, monkeypatch, capsys):
    """Files are added and removed between the index's examples; the encoder of the user takes ten lines."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Search your own images\n")[1].split("\n## ")[0]
    index, encoder = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(encoder.strip().splitlines()) <= 10
    shutil.copytree(drawn, tmp_path / "my_images")
    shutil.copy(drawn.parent / "query.png", tmp_path / "query.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(index.replace("a red guitar", "a guitar"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:10]] == [*"12345"] * 2
    assert lines[-1] == "Changes(added=(), removed=())"
    exec(compile(encoder, "README.md", "exec"), {})
    assert "Result(rank=1, file='" in capsys.readouterr().out


@pytest.mark.medium
def test_a_search_starts_without_libraries_that_it_does_not_need(noisy):
    """The command itself, in a process of its own: they take seconds to import."""
    words = ["search", str(noisy), "--query", str(noisy / "ink/0.png"), "--encoder", "tiny-clip"]
    code = f"""
import sys
from typer.testing import CliRunner
from cdir_nb.cli import app
print(CliRunner().invoke(app, {words}).exit_code, *{{"pandas", "scipy", "sklearn", "matplotlib"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["0"], done.stderr
