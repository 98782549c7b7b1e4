"""Queries from outside the collection: a drawing, an image file, or a text, ranked against any gallery."""

import time
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as w
from matplotlib.figure import Figure
from PIL import Image
from wigglystuff import Paint

from cdir_nb.data import ImageSet
from cdir_nb.data.pixels import decode
from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.controls import k_slider, menu, on_value, row
from cdir_nb.explorer.drawing import EMPTY, as_sketch, drawing_set
from cdir_nb.explorer.grid import Grid, answer_figure, data_url, result_tiles, tile_maker

CANVAS_SIZE = 320  # pixels
SKETCHES = ("sketch", "quickdraw", "doodle")  # a drawing is treated as an image of the first of these domains


class DrawPanel:
    """A canvas, a file field and a text field; the query is the content of the field that changed last."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, c = explorer, explorer.collection
        self.url_of = tile_maker(c.images)
        self.image: Image.Image | None = None  # the drawing or file
        self.query_text = ""  # if not empty, it is the query in place of the image
        like = next((domain for name in SKETCHES for domain in c.domains if name in domain), c.domains[0])
        self.canvas = Paint(width=CANVAS_SIZE, height=CANVAS_SIZE, color_picker=False)
        self.file = w.FileUpload(accept="image/*", multiple=False, description="load an image file")
        self.text = w.Text(placeholder="a red guitar", description="or write", continuous_update=False)
        self.text.layout.display = "" if c.reads_texts else "none"
        self.like = menu("query is like", c.domains, like)
        self.gallery_domain = menu("gallery domain", c.domains)
        self.gallery, self.method = menu("gallery", c.galleries), menu("method", explorer.methods)
        self.k = k_slider()
        self.controls = (self.like, self.method, self.gallery_domain, self.gallery, self.k)
        self.preview, self.message = w.HTML(), w.HTML(f"<b>{EMPTY}</b>")
        self.results = Grid(label="results for the drawing, best first")
        choices = w.VBox([*self.controls, self.file, self.text, self.preview])
        self.box = w.VBox([row(w.Box([self.canvas]), choices), self.message, self.results])
        self.canvas.observe(lambda change: self.drawn(), names="base64")
        self.file.observe(lambda change: [self.loaded(bytes(file["content"])) for file in change["new"]], names="value")
        on_value(self.text, lambda text: text and self.written(text))
        for control in self.controls:
            on_value(control, lambda new: self.update())

    def drawn(self) -> None:
        """Make the canvas the query."""
        self._set_image(lambda: as_sketch(self.canvas.get_pil()))

    def begin_with(self, drawing: Image.Image) -> None:
        """Make an existing drawing the query. The canvas stays empty, since Clear would restore the drawing."""
        self._set_image(lambda: as_sketch(drawing))

    def loaded(self, content: bytes) -> None:
        """Make an image file the query, unchanged."""
        self._set_image(lambda: _decoded(content))

    def written(self, text: str) -> None:
        """Make a text the query."""
        self.preview.value, self.query_text = "", text
        self.update()

    def question(self) -> Question:
        """The state of the controls; the query itself is the image or the text."""
        values = {name: getattr(self, name).value for name in ("method", "gallery_domain", "gallery", "k")}
        return replace(self.explorer.start(), query_domain=self.like.value, **values)

    def update(self) -> None:
        """Show the results for the current controls and the time taken, or an error message."""
        start = time.perf_counter()
        try:
            question = self.question()
            if self.query_text:
                answer = self.explorer.ask_text(question, self.query_text)
            else:
                answer = self.explorer.ask_image(question, self._query())
        except CdirError as error:
            self.message.value, self.results.items = f"<b>{error}</b>", []
            return
        self.results.items = result_tiles(answer, self.explorer.collection.images, self.url_of)
        milliseconds = 1000 * (time.perf_counter() - start)
        self.message.value = f"<b>{answer.title}</b><br>Embedded and ranked in {milliseconds:.0f} ms."

    def figure(self) -> Figure:
        """The last query image, as the encoder receives it, and its results. Raises CdirError if there is no query."""
        query = self._query()
        answer = self.explorer.ask_image(self.question(), query)
        return answer_figure(answer, self.explorer.collection.images, query, "your\ndrawing")

    def _query(self) -> ImageSet:
        if self.image is None:
            raise CdirError(EMPTY)
        return drawing_set(self.image, self.like.value)

    def _set_image(self, make_image: Callable[[], Image.Image]) -> None:
        """Make an image the query, or show why there is none."""
        self.query_text = ""
        try:
            self.image = make_image()
        except CdirError as error:
            self.image, self.preview.value, self.results.items = None, "", []
            self.message.value = f"<b>{error}</b>"
            return
        self.preview.value = f'<img src="{data_url(self.image)}" alt="the query as the encoder gets it"><br>the query'
        self.update()


def _decoded(content: bytes) -> Image.Image:
    try:
        return decode(content)
    except Exception as error:  # decoders can raise almost anything on damaged files
        raise CdirError(f"the file is not an image that can be read ({type(error).__name__}): load another") from None
