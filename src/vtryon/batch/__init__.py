"""Many rows, each a person in a garment: planned, worked on once, resumable, here or on a Ray cluster (issue 8)."""
