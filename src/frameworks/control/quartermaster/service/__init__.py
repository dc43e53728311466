"""Use cases of Quartermaster."""
