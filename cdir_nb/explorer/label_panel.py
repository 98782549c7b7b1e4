"""Pseudo-labels on sliders: class, refinement step and temperature."""

import ipywidgets as w
from matplotlib.figure import Figure

from cdir_nb.explorer.collection import Collection
from cdir_nb.explorer.controls import menu, move_once, on_value, row, steps, whole
from cdir_nb.explorer.grid import Grid
from cdir_nb.explorer.labels import Labels, labels_in_words
from cdir_nb.explorer.panel import TEMPERATURES
from cdir_nb.explorer.pictures import answer_figure, result_tiles, tile_maker

MOST_STEPS = 50  # the paper trains for 25 epochs, one refinement step each


class LabelPanel:
    """A class name and the images that its pseudo-labels find."""

    def __init__(self, collection: Collection, step: int = 25) -> None:
        self.collection, self.labels = collection, Labels(collection)
        self.url_of = tile_maker(collection.images)
        self.domain, self.label = (
            menu("domain", collection.domains, collection.domains[-1]),
            menu("class", collection.names),
        )
        self.step, self.k = whole("refinement step", 0, MOST_STEPS, step), whole("k", 1, 30, 10)
        usual = min(TEMPERATURES, key=lambda t: abs(t - 1 / collection.encoder.logit_scale))
        self.temperature = steps("temperature", TEMPERATURES, usual)
        self.says, self.results = w.HTML(), Grid(label="images of the class, most probable first")
        self.controls = (self.domain, self.label, self.step, self.temperature, self.k)
        self.box = w.VBox([row(*self.controls), self.says, self.results])
        for control in self.controls:
            on_value(control, lambda new: self.answer())
        self.answer()

    def ask(self):
        """The answer for the current controls."""
        return self.labels.ask(*(control.value for control in self.controls))

    def answer(self) -> None:
        """Show the answer for the current controls."""
        found = self.ask()
        self.results.items = result_tiles(found, self.collection.images, self.url_of)
        self.says.value = f"<b>{found.title}</b><br>{labels_in_words(found)}"

    def figure(self) -> Figure:
        """The answer as a static figure."""
        return answer_figure(self.ask(), self.collection.images, None, "")

    def rehearse(self) -> None:
        """Move every control once and back."""
        for control in self.controls:
            move_once(control)
