"""What a person looks at after a bake-off: one HTML page, and its figures as PNG files."""
