"""Questions on the exercises: read from mdbook-quiz's TOML, asked in a terminal, shown in a notebook."""
