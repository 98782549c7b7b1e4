"""Linked maps as widgets: a selection on one map shows on the other, with the images and their nearest ones."""

import ipywidgets as w
import jscatter
from matplotlib.figure import Figure

from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.controls import menu, move_once, on_value, row
from cdir_nb.explorer.grid import Grid
from cdir_nb.explorer.maps import PROJECTIONS, Maps
from cdir_nb.explorer.pictures import in_words, query_tiles, result_tiles, tile_maker
from cdir_nb.show import two_maps
from cdir_nb.show.style import looks, pretty

HEIGHT = 380  # pixels
MOST_SHOWN = 20  # of the selected images
NAMES = {"tsne": "t-SNE", "umap": "UMAP"}


class MapPanel:
    """Two maps side by side; each has its method and its projection."""

    def __init__(self, explorer: Explorer, direction: tuple[str, str], most: int = 600, seed: int = 0) -> None:
        self.explorer, c = explorer, explorer.collection
        self.maps = Maps(explorer, direction, next(iter(c.galleries)), most, seed)
        self.url_of = tile_maker(c.images)
        able = [name for name, method in explorer.methods.items() if method.serves(direction)]
        self.colour = menu("colour by", ["class", "domain"] if c.labelled else ["domain"])
        self.sides = [_Side(self, able, projection) for projection in PROJECTIONS]
        self.says = w.HTML("Click on a point; or choose the lasso beside a map and draw around several.")
        self.selected, self.results = Grid(label="selected images"), Grid(label="nearest images of the first one")
        self.box = self._arranged()
        on_value(self.colour, lambda by: [side.paint(by) for side in self.sides])
        self.sides[0].scatter.widget.observe(lambda change: self.select(change["new"]), names="selection")

    def select(self, places: list[int]) -> None:
        """Show the selected images (row numbers of the map), and what the first of them finds in the other domain."""
        rows = [int(self.maps.rows[place]) for place in places]
        if not rows:
            self.selected.items, self.results.items = [], []
            return
        images = self.explorer.collection.images
        self.selected.items = query_tiles(rows[:MOST_SHOWN], images.keys[rows[0]], images, self.url_of)
        found = self.explorer.ask(self.question(rows[0]))
        self.results.items = result_tiles(found, images, self.url_of)
        self.says.value = f"{len(rows)} selected. <b>{found.title}</b><br>{in_words(found, 0.1)}"

    def question(self, row: int) -> Question:
        """An image of the map as a query in the other domain, by the method of the left map that serves it."""
        images, (first, second) = self.explorer.collection.images, self.maps.direction
        other = second if images.domains[row] == first else first
        name = self.sides[0].method.value
        if not self.explorer.methods[name].serves((images.domains[row], other)):
            name = next(iter(self.explorer.methods))
        return Question(name, images.domains[row], other, images.keys[row], self.maps.gallery)

    def figure(self) -> Figure:
        """Both maps as a static figure."""
        table = self.maps.table()
        maps = {side.title: self.maps.points(side.method.value, side.projection.value) for side in self.sides}
        return two_maps(maps, table["class"], table["domain"], title=" and ".join(map(pretty, self.maps.direction)))

    def rehearse(self) -> None:
        """Move every control once and back, and select two points."""
        for control in (self.colour, *(side.method for side in self.sides)):
            move_once(control)
        self.select([0, 1])

    def _arranged(self) -> w.Widget:
        linked = jscatter.compose(
            [side.scatter for side in self.sides], sync_selection=True, sync_hover=True, row_height=HEIGHT
        )
        controls = row(*(w.VBox([side.method, side.projection]) for side in self.sides), self.colour)
        return w.VBox([controls, linked, self.selected, self.says, self.results])


class _Side:
    """One of the two maps."""

    def __init__(self, panel: MapPanel, methods: list[str], projection: str) -> None:
        self.panel = panel
        self.method = menu("method", methods)
        self.projection = w.Dropdown(options=[(NAMES[p], p) for p in PROJECTIONS], value=projection, description="map")
        self.table = panel.maps.table()
        self.table["image"] = [panel.url_of(int(row)) for row in panel.maps.rows]
        self._place()
        self.scatter = jscatter.Scatter(
            data=self.table,
            x="x",
            y="y",
            x_scale=(-1, 1),
            y_scale=(-1, 1),
            height=HEIGHT,
            axes=False,
            size=6,
            legend=False,
        )
        self.scatter.background("white")
        self.scatter.tooltip(
            True, properties=["class", "domain"] if panel.explorer.collection.labelled else ["domain"],
            preview="image", preview_type="image", preview_image_size="contain", size="small", histograms=False,
        )  # fmt: skip
        self.paint(panel.colour.value)
        for control in (self.method, self.projection):
            on_value(control, lambda new: self.redraw())

    @property
    def title(self) -> str:
        return f"{self.method.value}, {NAMES[self.projection.value]}"

    def paint(self, by: str) -> None:
        """Colour the points by class or by domain."""
        colours = {name: colour for name, (colour, _) in looks(sorted(set(self.table[by]))).items()}
        self.scatter.color(by=by, map=colours)

    def redraw(self) -> None:
        """Move the points to the places that method and projection give them."""
        self._place()
        self.scatter.xy(self.table["x"].to_numpy(), self.table["y"].to_numpy())

    def _place(self) -> None:
        points = self.panel.maps.points(self.method.value, self.projection.value)
        middle, half = (points.max(0) + points.min(0)) / 2, (points.max(0) - points.min(0)) / 2
        self.table["x"], self.table["y"] = (0.92 * (points - middle) / half.clip(1e-9)).T  # inside the frame of -1 to 1
