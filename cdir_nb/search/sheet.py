"""Contact sheets: tiles of images with a line or two below each, as one page of HTML without outside references."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

from PIL import Image

TILE_SIZE = 96  # pixels of the longer side, on screens of panels
SHEET_SIZE = 180  # the same, on a contact sheet
FRAMES = {"right": "3px solid #0072B2", "wrong": "3px dashed #D55E00", "chosen": "3px solid #222"}
STYLE = """
body { margin: 24px; font: 15px/1.4 system-ui, sans-serif; color: #222; background: #fff; }
h1 { margin: 0 0 4px; font-size: 20px; } p { margin: 0 0 18px; color: #555; }
ol { display: flex; flex-wrap: wrap; gap: 16px; margin: 0; padding: 0; list-style: none; }
li { width: 192px; } figure { margin: 0; }
img { display: block; max-width: 180px; max-height: 180px; border: 1px solid #ccc; }
figcaption { margin-top: 4px; font-size: 13px; white-space: pre-line; overflow-wrap: anywhere; }
"""


def data_url(image: Image.Image, size: int = TILE_SIZE) -> str:
    """The image as a data URL, uncropped, `size` pixels on its longer side."""
    scale = size / max(image.size)
    shape = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    buffer = io.BytesIO()
    image.convert("RGB").resize(shape, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def contact_sheet(title: str, tiles: Sequence[Mapping[str, str]], about: str = "") -> str:
    """A page of tiles in reading order.

    tiles  each with src (a data URL), alt, note (lines below the image), and kind: "right", "wrong", "chosen" (framed)
           or "plain"
    about  a line below the title
    """
    items = "\n".join(map(_item, tiles))
    title, about = html.escape(title), f"<p>{html.escape(about)}</p>" if about else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>{about}\n"
        f"<ol>\n{items}\n</ol></body></html>\n"
    )


def _item(tile: Mapping[str, str]) -> str:
    frame = f' style="border: {FRAMES[tile["kind"]]}"' if tile.get("kind") in FRAMES else ""
    image = f'<img src="{html.escape(tile["src"])}" alt="{html.escape(tile["alt"])}"{frame}>'
    return f"<li><figure>{image}<figcaption>{html.escape(tile['note'])}</figcaption></figure></li>"
