"""How a student begins: its layers, its width, its bytes."""
