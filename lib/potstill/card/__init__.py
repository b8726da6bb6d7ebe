"""What is in a data set: a page for its reader, a certificate for who scores what it taught."""
