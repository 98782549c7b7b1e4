"""Drawings of the methods: every text inside the figure, no text across the edge of its box."""

import pytest
from matplotlib.patches import FancyBboxPatch

from cdir_nb.show.diagrams import diagram


@pytest.mark.parametrize("name", ["clip", "clair", "tki", "ucdir", "snmpnet", "decision"])
def test_texts_fit_their_boxes_and_the_figure(name):
    fig = diagram(name)
    fig.canvas.draw()
    (ax,) = fig.axes
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) >= 6
    for text in filter(lambda text: text.get_text(), ax.texts):
        extent = text.get_window_extent()
        assert fig.bbox.containsx(extent.x0) and fig.bbox.containsx(extent.x1), text.get_text()
        for box in boxes:
            if box.contains(*((extent.p0 + extent.p1) / 2)):
                assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1, text
            elif text.get_text():
                assert not box.overlaps(extent), text.get_text()
