"""`cdir fetch`: downloads public datasets into the folder layout of their cards."""
