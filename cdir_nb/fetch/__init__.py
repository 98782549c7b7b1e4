"""Datasets from where they are published into the loader's layout: `cdir fetch`."""
