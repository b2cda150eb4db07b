"""The engine: a definition, a pure core, and a driver; it knows nothing of models or GPUs."""
