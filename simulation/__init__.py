"""Simulated insects with a known history: evolution, appearance and photographs."""
