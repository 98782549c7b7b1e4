"""The same task on images that nothing was trained on, for tasks whose training images are also queries and gallery."""

from dataclasses import replace

import numpy as np

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol, load_protocol, protocol_spec
from cdir_nb.data.world import load_world


def held_out(task: Protocol, trained: ImageSet) -> Protocol | None:
    """A closed-set task on other images of its classes; None if there are none.

    On the drawn world, drawings of another seed (the protocol `<task>-redrawn`). On other datasets, the images of the
    task that are not among `trained` (`<task>-rest`, where training used a sample of them).
    Source: our default; UCDIR's released code tests on its training images.
    """
    redrawn = f"{task.name}-redrawn"
    if protocol_spec(redrawn):
        return replace(load_protocol(redrawn, load_world(seed=1, classes=task.classes)), directions=task.directions)
    trained_digests = set(trained.digests)
    parts = [*task.queries.values(), *task.galleries.values()]
    if all(trained_digests.isdisjoint(part.digests) for part in parts):  # nothing was trained on anyway
        return None
    rows = [row for row, digest in enumerate(task.images.digests) if digest not in trained_digests]
    remainder = replace(task, name=f"{task.name}-rest", images=task.images.take(np.array(rows, dtype=int)))
    needed = {cell for part in parts for cell in zip(part.domains.tolist(), part.labels.tolist())}
    available = set(zip(remainder.images.domains.tolist(), remainder.images.labels.tolist()))
    return remainder if needed <= available else None
