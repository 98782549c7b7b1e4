"""Figures for UCDIR: the drawn values are the given ones."""

import numpy as np

from cdir_nb.show import ucdir


def test_images_and_centroids_are_drawn_on_the_circle_of_their_domain():
    images = [np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])]
    frame = ucdir.Frame(images, [images[0][:1], images[1][:1]], "step 0")
    (ax,) = ucdir.circle_frames({"B turned": [frame]}, ["cat", "dog"]).axes
    drawn = [points.get_offsets() for points in ax.collections]
    for points, expected, radius in zip(drawn, images, ucdir.RADII):
        np.testing.assert_allclose(points, radius * expected)
    assert [list(line.get_xdata())[1] for line in ax.lines] == [ucdir.RADII[0], 0]  # a ray to each centroid
    assert ax.get_title("left") == "step 0" and ax.get_ylabel() == "B turned"
