"""Browser tests: real Hub, real proxy, real Voilà, real Chromium."""
