"""The shapes of bodies, one module per feature, named as in `rest`."""
