"""Draw a query, or load one from a file, or write one: ranked against any gallery."""

import io
import time
from dataclasses import replace

import ipywidgets as w
from matplotlib.figure import Figure
from PIL import Image
from wigglystuff import Paint

from cdir_nb.data.pictures import to_rgb
from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Answer, Explorer, Question
from cdir_nb.explorer.controls import menu, move_once, on_value, row, whole
from cdir_nb.explorer.drawing import EMPTY, as_sketch, drawing_set
from cdir_nb.explorer.grid import Grid
from cdir_nb.explorer.pictures import answer_figure, data_url, result_tiles, tile_maker

CANVAS = 320  # pixels
SKETCHES = ("sketch", "quickdraw", "doodle")  # a drawing counts as an image of the first of these domains that is there


class DrawPanel:
    """A canvas, a file and a text field; the last one that changed is the query."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, c = explorer, explorer.collection
        self.url_of, self.picture = tile_maker(c.images), None
        like = next((domain for name in SKETCHES for domain in c.domains if name in domain), c.domains[0])
        self.canvas = Paint(width=CANVAS, height=CANVAS, color_picker=False)
        self.file = w.FileUpload(accept="image/*", multiple=False, description="load an image file")
        self.text = w.Text(placeholder="a red guitar", description="or write", continuous_update=False)
        self.like = menu("query is like", c.domains, like)
        self.gallery_domain = menu("gallery domain", c.domains)
        self.gallery, self.method = menu("gallery", c.galleries), menu("method", explorer.methods)
        self.k = whole("k", 1, 30, 10)
        self.controls = (self.like, self.method, self.gallery_domain, self.gallery, self.k)
        self.seen, self.says = w.HTML(), w.HTML(f"<b>{EMPTY}</b>")
        self.results = Grid(label="results for the drawing, best first")
        self.text.layout.display = "" if c.reads_texts else "none"
        self._ask = self._ask_picture
        self.box = self._arranged()
        self._listen()

    def drawn(self) -> None:
        """The canvas has changed: it is the query."""
        self._take(lambda: as_sketch(self.canvas.get_pil()))

    def begin_with(self, drawing: Image.Image) -> None:
        """A drawing from elsewhere is the query. The canvas stays empty: its Clear returns to what it held at first."""
        self._take(lambda: as_sketch(drawing))

    def loaded(self, content: bytes) -> None:
        """A file was loaded: it is the query, as it is."""
        self._take(lambda: _opened(content))

    def written(self, text: str) -> None:
        """A text was written: it is the query."""
        self.seen.value, self._ask = "", lambda question: self.explorer.ask_text(question, text)
        self.answer()

    def question(self) -> Question:
        """What the controls ask; the query itself is the picture or the text."""
        named = {name: getattr(self, name).value for name in ("method", "gallery_domain", "gallery", "k")}
        return replace(self.explorer.start(), query_domain=self.like.value, **named)

    def answer(self) -> None:
        """Ask again with the current controls; say how long it took, or what is missing."""
        started = time.perf_counter()
        try:
            found = self._ask(self.question())
        except CdirError as error:
            self.says.value, self.results.items = f"<b>{error}</b>", []
            return
        self.results.items = result_tiles(found, self.explorer.collection.images, self.url_of)
        took = 1000 * (time.perf_counter() - started)
        self.says.value = f"<b>{found.title}</b><br>Embedded and ranked in {took:.0f} ms."

    def figure(self) -> Figure:
        """The last drawing, as the encoder sees it, and its results. Raises CdirError if there is none."""
        found = self._ask_picture(self.question())
        query = drawing_set(self.picture, self.like.value)
        return answer_figure(found, self.explorer.collection.images, query, "your\ndrawing")

    def rehearse(self) -> None:
        """Move every control once and back, with the picture that is there."""
        for control in self.controls:
            move_once(control)
        if self.explorer.collection.reads_texts:
            self.text.value = "a guitar"
            self.text.value = ""
        self._ask = self._ask_picture

    def _take(self, picture_of) -> None:
        """Make a picture the query; if there is none, say so."""
        self._ask = self._ask_picture
        try:
            self.picture = picture_of()
        except CdirError as error:
            self.picture, self.seen.value, self.results.items = None, "", []
            self.says.value = f"<b>{error}</b>"
            return
        self.seen.value = f'<img src="{data_url(self.picture)}" alt="the query as the encoder gets it"><br>the query'
        self.answer()

    def _ask_picture(self, question: Question) -> Answer:
        if self.picture is None:
            raise CdirError(EMPTY)
        return self.explorer.ask_picture(question, drawing_set(self.picture, question.query_domain))

    def _listen(self) -> None:
        self.canvas.observe(lambda change: self.drawn(), names="base64")
        self.file.observe(lambda change: [self.loaded(bytes(file["content"])) for file in change["new"]], names="value")
        on_value(self.text, lambda text: text and self.written(text))
        for control in self.controls:
            on_value(control, lambda new: self.answer())

    def _arranged(self) -> w.Widget:
        choices = w.VBox([*self.controls, self.file, self.text, self.seen])
        return w.VBox([row(w.Box([self.canvas]), choices), self.says, self.results])


def _opened(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return to_rgb(image)
    except Exception as error:  # decoders can raise almost anything on damaged files
        raise CdirError(f"this file is not an image that can be read ({type(error).__name__}): load another") from None
