"""The recipe of the embedded demo model: made-up edge tasks, training, export and measurement."""
