"""Simulated organisms with a known history: evolution, appearance and photographs."""
