"""What is inside files: read with the field's libraries, by a worker that is locked in and sees one file at a time."""

__all__: list[str] = []
