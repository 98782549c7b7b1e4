"""Two linked maps of the same images. The panel shows the selected images and the results for the first of them."""

import ipywidgets as w
import jscatter
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from cdir_nb import paths
from cdir_nb.analysis import MIN_POINTS, project, sample_rows
from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.collection import require_different
from cdir_nb.explorer.controls import Control, Panel, menu, on_value, row
from cdir_nb.explorer.grid import Grid, answer_text, query_tiles, result_tiles, tile_maker
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.show import two_maps
from cdir_nb.show.style import looks, pretty

PROJECTIONS = {"tsne": "t-SNE", "umap": "UMAP"}
HEIGHT = 380  # pixels
HINT = "Click on a point; or choose the lasso beside a map and draw around several."
MAX_SELECTED = 20  # images shown of a selection


class Maps:
    """Coordinates of a sample of two domains, by any method and projection; stored in the cache.

    rows  rows of the collection, equally many from every domain and class
    """

    def __init__(
        self, explorer: Explorer, direction: tuple[str, str], gallery: str, size: int = 600, seed: int = 0
    ) -> None:
        c = explorer.collection
        self.explorer, self.direction, self.gallery, self.seed = explorer, direction, gallery, seed
        rows = np.unique(np.concatenate([c.gallery_rows(domain, gallery) for domain in direction]))
        if len(rows) < MIN_POINTS:
            domains = " and ".join(dict.fromkeys(direction))
            raise CdirError(f"a map needs at least {MIN_POINTS} images: {domains} have {len(rows)}, add images")
        groups = [f"{d}/{label}" for d, label in zip(c.images.domains[rows], c.images.labels[rows])]
        self.rows = rows[sample_rows(groups, size, seed)]

    def points(self, method: str, projection: str) -> np.ndarray:
        """(N, 2) in the order of `rows`."""
        emb = self._embeddings(method)
        require_different(emb, " and ".join(dict.fromkeys(self.direction)))
        key = {"embeddings": digest_of(emb.tolist()), "projection": projection, "seed": self.seed}
        path = paths.cache_dir() / "maps" / f"{digest_of(key)}.npy"
        if (points := paths.read_from_cache(path, np.load)) is not None:
            return points
        points = project(emb.numpy(), projection, self.seed)
        paths.write_to_cache(path, lambda temporary: np.save(temporary, points))
        return points

    def table(self) -> pd.DataFrame:
        """A table with the class and domain of each image, for colours and tooltips."""
        images = self.explorer.collection.images
        return pd.DataFrame({"class": images.labels[self.rows], "domain": images.domains[self.rows]})

    def _embeddings(self, name: str) -> torch.Tensor:
        """(N, D) of both domains, queries mapped where the method maps them."""
        method, images = self.explorer.methods[name], self.explorer.collection.images
        embedder, domains = method.at(self.direction, method.start), images.domains[self.rows]
        parts = [self.rows[domains == domain] for domain in dict.fromkeys(self.direction)]
        emb = torch.cat([embedder.embed(images.take(part), progress=False) for part in parts])
        return emb[np.argsort(np.concatenate(parts), kind="stable")]


class MapPanel(Panel):
    """Two maps side by side, each with a menu for the method and one for the projection.

    It needs ten images of the two domains whose embeddings differ.
    """

    def __init__(self, explorer: Explorer, direction: tuple[str, str], size: int = 600, seed: int = 0) -> None:
        super().__init__("nearest images of the first one")
        self.explorer, self.points = explorer, []
        with self.answers.errors_shown():
            self._build(direction, size, seed)

    def _build(self, direction: tuple[str, str], size: int, seed: int) -> None:
        c = self.explorer.collection
        self.maps = Maps(self.explorer, direction, next(iter(c.galleries)), size, seed)
        self.url_of = tile_maker(c.images)
        methods = [name for name, method in self.explorer.methods.items() if method.serves(direction)]
        self.colour = menu("colour by", ["class", "domain"] if c.labelled else ["domain"])
        self.views = [_MapView(self, methods, projection) for projection in PROJECTIONS]
        self.selected = Grid(label="selected images")
        scatters = [view.scatter for view in self.views]
        linked = jscatter.compose(scatters, sync_selection=True, sync_hover=True, row_height=HEIGHT)
        controls = row(*(w.VBox([view.method, view.projection]) for view in self.views), self.colour)
        self.box.children = [controls, linked, self.selected, self.message, self.results]
        on_value(self.colour, lambda by: [view.paint(by) for view in self.views])
        on_value(self.views[0].method, lambda name: self.update())
        scatters[0].widget.observe(lambda change: self.select(change["new"]), names="selection")
        self.update()

    def select(self, points: list[int]) -> None:
        """Show the images of the selected points, and the results for the first of them in the other domain."""
        self.points = [int(point) for point in points]
        self.update()

    def update(self) -> None:
        """Show the selection and its results by the left map's method, or how to select."""
        rows, c = [int(self.maps.rows[point]) for point in self.points], self.explorer.collection
        chosen = c.images.keys[rows[0]] if rows else ""
        self.selected.items = query_tiles(rows[:MAX_SELECTED], chosen, c, self.url_of)
        with self.answers.errors_shown():
            if not rows:
                self.answers.show("", HINT)
                return
            answer = self.explorer.ask(self.question(rows[0]))
            tiles = result_tiles(answer, c, self.url_of)
            self.answers.show(f"{len(rows)} selected. {answer.title}", answer_text(answer, 0.1), tiles)

    @property
    def sides(self) -> list["_MapView"]:
        """Former name of `views`."""
        return self.views

    @property
    def says(self) -> w.HTML:
        """Former name of `message`."""
        return self.message

    def question(self, row: int) -> Question:
        """A question with an image of the map as query, by the left map's method if it was fitted for the direction."""
        images, (left, right) = self.explorer.collection.images, self.maps.direction
        domain = images.domains[row]
        other = right if domain == left else left
        name = self.views[0].method.value
        if not self.explorer.methods[name].serves((domain, other)):
            name = next(iter(self.explorer.methods))
        return Question(name, domain, other, images.keys[row], self.maps.gallery)

    def draw(self) -> Figure:
        """Both maps as a static figure."""
        table = self.maps.table()
        maps = {view.title: self.maps.points(view.method.value, view.projection.value) for view in self.views}
        return two_maps(maps, table["class"], table["domain"], title=" and ".join(map(pretty, self.maps.direction)))


class _MapView:
    """One of the two maps, and its controls."""

    def __init__(self, panel: MapPanel, methods: list[str], projection: str) -> None:
        self.panel = panel
        self.method = menu("method", methods)
        options = [(title, name) for name, title in PROJECTIONS.items()]
        self.projection: Control = w.Dropdown(options=options, value=projection, description="map")
        self.table = panel.maps.table()
        self.table["image"] = [panel.url_of(int(row)) for row in panel.maps.rows]
        self._set_points()
        frame = {"x": "x", "y": "y", "x_scale": (-1, 1), "y_scale": (-1, 1), "height": HEIGHT}
        self.scatter = jscatter.Scatter(data=self.table, **frame, axes=False, size=6, legend=False)
        self.scatter.background("white")
        preview = {"preview": "image", "preview_type": "image", "preview_image_size": "contain"}
        names = [name for _, name in panel.colour.options]
        options = {"properties": names, "size": "small", "histograms": False, **preview}
        self.scatter.tooltip(True, **options)
        self.paint(panel.colour.value)
        for control in (self.method, self.projection):
            on_value(control, lambda new: self.redraw())

    @property
    def title(self) -> str:
        return f"{self.method.value}, {PROJECTIONS[self.projection.value]}"

    def paint(self, by: str) -> None:
        """Colour the points by class or by domain."""
        colours = {name: colour for name, (colour, _) in looks(sorted(set(self.table[by]))).items()}
        self.scatter.color(by=by, map=colours)

    def redraw(self) -> None:
        """Move the points to their coordinates by the current method and projection."""
        with self.panel.answers.errors_shown():
            self._set_points()
            self.scatter.xy(self.table["x"].to_numpy(), self.table["y"].to_numpy())

    def _set_points(self) -> None:
        points = self.panel.maps.points(self.method.value, self.projection.value)
        middle, half = (points.max(0) + points.min(0)) / 2, (points.max(0) - points.min(0)) / 2
        self.table["x"], self.table["y"] = (0.92 * (points - middle) / half.clip(1e-9)).T  # inside the frame of -1 to 1
