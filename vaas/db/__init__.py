"""The portal's records: the port in base, SQL through SQLAlchemy."""
