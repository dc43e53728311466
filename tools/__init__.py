"""Tools of this repository: code generation, lint, builds, fuzzing."""
