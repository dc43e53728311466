"""The side Helmsman sees: the triggers this node fires, and MistServer's controller API."""
