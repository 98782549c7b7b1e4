"""Helpers behind the cross-domain image retrieval workbook.

One way of data: images -> encoder -> method -> ranking -> metrics -> records -> tables and pictures.
A module imports only from the places before it on that way.
"""

__version__ = "0.1.0"
