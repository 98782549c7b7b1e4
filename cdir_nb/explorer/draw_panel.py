"""Queries from outside the collection: a drawing, an image file, or a text, ranked against any gallery."""

import html
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import ipywidgets as w
from matplotlib.figure import Figure
from PIL import Image
from wigglystuff import Paint

from cdir_nb.data import ImageSet
from cdir_nb.data.pictures import digest_of
from cdir_nb.data.pixels import decode, is_blank
from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Answer, Explorer, Question
from cdir_nb.explorer.controls import Panel, application, k_slider, menu, on_value
from cdir_nb.explorer.drawing import as_sketch, drawing_set
from cdir_nb.explorer.grid import answer_figure, result_tiles, tile_maker
from cdir_nb.search.index import EXAMPLE
from cdir_nb.search.sheet import data_url

CANVAS_SIZE = 320  # pixels
SKETCHES = ("sketch", "quickdraw", "doodle")  # a drawing is treated as an image of the first of these domains


class DrawPanel(Panel):
    """A canvas, a file field and a text field; the query is the content of the field that changed last.

    query  returns the query, an image or a text; raises CdirError if there is none
    """

    def __init__(self, explorer: Explorer) -> None:
        super().__init__("results for the query, best first")
        self.explorer = explorer
        self.query: Callable[[], ImageSet | str] = self._drawing
        with self.answers.errors_shown():
            self._build()

    def _build(self) -> None:
        c = self.explorer.collection
        self.url_of = tile_maker(c.images)
        like = next((domain for name in SKETCHES for domain in c.domains if name in domain), c.domains[0])
        self.canvas = Paint(width=CANVAS_SIZE, height=CANVAS_SIZE, color_picker=False)
        self.file = w.FileUpload(accept="image/*", multiple=False, description="load an image file")
        self.text = w.Text(placeholder=EXAMPLE, description="or write", continuous_update=False)
        no_text = w.HTML(f"A text cannot be a query: {html.escape(c.encoder.built.name)} reads images only.")
        self.like = menu("query is like", c.domains, like)
        self.gallery_domain = menu("gallery domain", c.domains)
        self.gallery, self.method = menu("gallery", c.galleries), menu("method", self.explorer.methods)
        self.k = k_slider()
        self.preview = w.HTML()
        self.controls = (self.like, self.method, self.gallery_domain, self.gallery, self.k)
        inputs = [w.Box([self.canvas]), self.file, self.text if c.reads_texts else no_text]
        self.box.children = [application([*inputs, *self.controls], [self.preview, self.message, self.results])]
        self.canvas.observe(lambda change: self.drawn(), names="base64")
        self.file.observe(lambda change: [self.loaded(bytes(file["content"])) for file in change["new"]], names="value")
        on_value(self.text, self.written)
        for control in self.controls:
            on_value(control, lambda new: self.update())
        self.update()

    def drawn(self) -> None:
        """Make the canvas the query."""
        self._ask(self._drawing)

    def begin_with(self, drawing: Image.Image) -> None:
        """Make an existing drawing the query. The canvas stays empty, since Clear would restore the drawing."""
        self._ask(lambda: drawing_set(as_sketch(drawing), self.like.value))

    def loaded(self, content: bytes) -> None:
        """Make an image file the query, unchanged."""
        image = cache(lambda: _decoded(content))
        self._ask(lambda: drawing_set(image(), self.like.value, digest_of(content)))

    def written(self, text: str) -> None:
        """Make a text the query."""
        self.query = lambda: text
        self.update()

    def question(self) -> Question:
        """The state of the controls; the query itself is the image or the text."""
        values = {name: getattr(self, name).value for name in ("method", "gallery_domain", "gallery", "k")}
        return replace(self.explorer.start(), query_domain=self.like.value, **values)

    def answer(self, query: ImageSet | str) -> Answer:
        """The answer for a query and the current controls."""
        if isinstance(query, str):
            return self.explorer.ask_text(self.question(), query)
        return self.explorer.ask_image(self.question(), query)

    def update(self) -> None:
        """Show the query, its results and the time taken, or an error message."""
        self.preview.value = ""
        with self.answers.errors_shown():
            start, query = time.perf_counter(), self.query()
            if isinstance(query, ImageSet):
                source = f'src="{data_url(query.image(0))}" alt="the query as the encoder gets it"'
                self.preview.value = f'<img {source} style="vertical-align: middle"> the query'
            answer = self.answer(query)
            tiles = result_tiles(answer, self.explorer.collection, self.url_of)
            took = f"Embedded and ranked in {1000 * (time.perf_counter() - start):.0f} ms."
            self.answers.show(answer.title, " ".join([took, *answer.remarks]), tiles)

    def draw(self) -> Figure:
        """The last query, an image as the encoder receives it, and its results."""
        query, images = self.query(), self.explorer.collection.images
        shown = query if isinstance(query, ImageSet) else None
        return answer_figure(self.answer(query), images, shown, "your\ndrawing")

    def _drawing(self) -> ImageSet:
        return drawing_set(as_sketch(self.canvas.get_pil()), self.like.value)

    def _ask(self, query: Callable[[], ImageSet]) -> None:
        """Make an image the query."""
        self.text.value = ""  # otherwise the same text, written again, would be no change
        self.query = query
        self.update()


def _decoded(content: bytes) -> Image.Image:
    try:
        image = decode(content)
    except Exception as error:  # decoders can raise almost anything on damaged files
        raise CdirError(f"the file is not an image that can be read ({type(error).__name__}): load another") from None
    if is_blank(image):
        raise CdirError("the image is blank: load another")
    return image
