"""What runs notebooks as batch jobs: one module for each system."""
