from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from cdir_nb.data import load_card
from cdir_nb.errors import CdirError
from cdir_nb.pages.html import to_html
from cdir_nb.paths import MANIFEST
from cdir_nb.show import banner, notebook_map, plain_list


def encoder(identity):
    return SimpleNamespace(identity=identity, description="a model")


def test_banner_names_images_source_licence_and_weights(squares):
    text = banner(load_card("pacs"), squares, encoder("ViT-B-32:openai QuickGELU [12ab]")).data
    assert "PACS, 30 of them" in text and "domaingeneralization" in text and "Licence" in text
    assert "ViT-B-32:openai QuickGELU [12ab]" in text
    assert "RANDOM" not in text and "drawn world" not in text


def test_banner_says_that_the_world_is_drawn(squares):
    text = banner(load_card("world"), squares, encoder("tiny-clip")).data
    assert "**A drawn world, not the papers' data.**" in text


def test_banner_does_not_call_people_s_doodles_drawn_by_the_package(squares):
    text = banner(load_card("world_doodle"), squares, encoder("tiny-clip")).data
    assert "**The drawn world and people's doodles, not the papers' data.**" in text


def test_banner_begins_with_a_dataset_of_other_size_than_its_card_s(squares):
    text = banner(load_card("pacs"), squares, encoder("tiny-clip")).data
    assert text.startswith("> **pacs, 30 of 9,991 images**\n")


def test_banner_is_loud_where_weights_are_random(squares):
    text = banner(load_card("pacs"), squares, encoder("ViT-B-32:random GELU")).data
    assert text.startswith("## ⚠ RANDOM WEIGHTS")


def test_the_name_of_a_weights_file_is_only_text(squares):
    evil = "ViT-B-32:`<script>alert(1)</script>![x](javascript:1)\n# Title.pt"
    text = banner(load_card("pacs"), squares, SimpleNamespace(identity=evil, description=evil)).data
    cells = [new_markdown_cell(text)]
    page = to_html(new_notebook(cells=cells), "a", MANIFEST)
    shown = page.split("<blockquote>")[1].split("</blockquote>")[0].split("Encoder:")[1]
    assert "alert(1)" in shown and "<script" not in shown and "<a " not in shown and "<img" not in shown
    assert "<h1" not in shown


def test_plain_list():
    assert plain_list(["cat"]) == "cat"
    assert plain_list(["cat", "light_bulb", "owl"]) == "cat, light bulb and owl"


def test_notebook_map_takes_title_question_and_time_from_each_notebook(tmp_path):
    bees = "# 01 · Bees\n**How many?**\n\n> **Reading time:** 20 minutes."
    for name, text in (("01_b", bees), ("00_a", "# 00 · Ants")):
        nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), tmp_path / f"{name}.ipynb")
    rows = notebook_map(tmp_path).data.splitlines()[2:]
    assert rows == ["| [00 · Ants](00_a.ipynb) |  |  |", "| [01 · Bees](01_b.ipynb) | How many? | 20 |"]


def test_a_table_of_settings_has_every_setting_with_its_source_from_the_left():
    from cdir_nb.methods.tki import TkiSettings
    from cdir_nb.show import settings_table

    lines = settings_table({"TKI": TkiSettings(words=7)}).data.splitlines()
    assert lines[1] == "|:--|:--|:--|:--|"
    assert len(lines) == 2 + len(TkiSettings().table())
    assert lines[2].startswith("| TKI | `words` | 7 | set here; default 20")


def test_the_settings_of_a_method_are_followed_by_what_its_named_settings_change():
    from cdir_nb.methods.sketchlvm import SKETCHLVM
    from cdir_nb.show import method_settings

    defaults, named = method_settings("SketchLVM").data.split("\n\n")
    assert len(defaults.splitlines()) == 2 + len(SKETCHLVM.settings().table())
    assert "| `epochs` | 60 |" in defaults
    tiny, real = named.splitlines()[2:]
    assert tiny.startswith("| tiny-clip | tiny-clip |") and "`epochs` = 8" in tiny and "`margin`" not in tiny
    assert "`prompts` = 0" in real
    assert "what they change" not in method_settings("TKI").data  # it has no named settings
    with pytest.raises(CdirError, match="'Tki'"):
        method_settings("Tki")
