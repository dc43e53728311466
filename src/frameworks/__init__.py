"""FrameWorks: a multi-tenant live video platform in four planes (control, data, media, support)."""

__version__ = "0.1.0"
