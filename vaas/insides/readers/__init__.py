"""What reads one family of files each; all of it runs locked in, on files that strangers wrote."""

__all__: list[str] = []
