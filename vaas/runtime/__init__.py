"""The app server: a locked-down Voilà that serves one version of one app, in the app environment."""
