"""The GGUF format as it is read, and llama.cpp's library."""
