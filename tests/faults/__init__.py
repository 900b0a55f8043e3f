"""All that can break is broken, and what was promised is looked for afterwards. `make faults` is the long run."""
