"""The tokens that teacher and students share: which are kept, and how models and drafts follow."""
