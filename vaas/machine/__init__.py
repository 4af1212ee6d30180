"""What runtime and launch environment both know of the machine: processes, and what a sandbox is made of."""
