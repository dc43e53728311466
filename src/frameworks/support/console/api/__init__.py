"""The front's routes: the web application, the public watch page, and what is passed on."""
