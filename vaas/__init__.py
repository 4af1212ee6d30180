"""VaaS: Voilà as a Service, a dashboard portal for science."""

__version__ = "0.1.0"
