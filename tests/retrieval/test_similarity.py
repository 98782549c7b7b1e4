import numpy as np
import torch

from cdir_nb.retrieval import rank
from cdir_nb.retrieval.similarity import for_dot_product


def test_euclidean_order_of_the_longer_rows_is_the_order_of_dot_products():
    draw = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(20, 6, generator=draw), torch.randn(50, 6, generator=draw)
    gallery *= torch.rand(50, 1, generator=draw) * 5  # lengths must matter
    found = rank(*for_dot_product(query, gallery), similarity="euclidean").indices
    assert (found == np.argsort(-(query @ gallery.T).numpy(), axis=1)).all()
    assert (found != rank(query, gallery, similarity="euclidean").indices).any()
    assert (found != rank(query, gallery).indices).any()
