"""Drawings of the methods: every text inside the figure, no text across the edge of its box."""

import pytest
from matplotlib.patches import FancyBboxPatch

from cdir_nb.show.diagrams import clair_diagram, clip_diagram, snmpnet_diagram, tki_diagram, ucdir_diagram


@pytest.mark.parametrize("draw", [clip_diagram, clair_diagram, tki_diagram, ucdir_diagram, snmpnet_diagram])
def test_texts_fit_their_boxes_and_the_figure(draw):
    fig = draw()
    fig.canvas.draw()
    (ax,) = fig.axes
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) >= 6
    for text in filter(lambda text: text.get_text(), ax.texts):
        place = text.get_window_extent()
        assert fig.bbox.containsx(place.x0) and fig.bbox.containsx(place.x1), text.get_text()
        for box in boxes:
            if box.contains(*((place.p0 + place.p1) / 2)):
                assert box.x0 <= place.x0 and place.x1 <= box.x1 and box.y0 <= place.y0 and place.y1 <= box.y1, text
            elif text.get_text():
                assert not box.overlaps(place), text.get_text()
