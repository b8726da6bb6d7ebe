"""A student as an adapter of a model that anyone has, small enough to pass on, and built again."""
