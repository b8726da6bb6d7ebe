"""How a student begins: its vocabulary, its layers."""
