"""Models: where they come from, their tokenizers, and how a student is cut out of a teacher."""
