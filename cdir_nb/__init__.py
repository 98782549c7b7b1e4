"""Cross-domain image retrieval: published methods, their measurement, and notebooks that explain them."""

__version__ = "0.2.0"

MODULES = (  # in order of the flow of data; a module imports only from those before it
    "errors",
    "conventions",
    "paths",
    "progress",
    "notebook",
    "sources",
    "data",
    "retrieval",
    "analysis",
    "encoders",
    "search",
    "methods",
    "results",
    "show",
    "course",
    "explorer",
    "pages",
    "run",
    "fetch",
    "cache",
    "cli",
)
