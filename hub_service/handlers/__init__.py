"""The portal's routes: each handler parses, makes one call to the portal, and writes."""
