"""The launch environment's side: what a person's JupyterLab starts with, and what runs a notebook as a job."""
