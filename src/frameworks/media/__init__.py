"""The media plane: take a stream in, route viewers to it, hand it out."""
