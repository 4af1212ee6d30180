"""The Hub-managed service: the portal's web application, and the Hub's configuration."""
