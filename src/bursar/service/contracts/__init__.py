"""The HTTP faces of the published contracts: paths, bodies, statuses and errors as their documents show them."""
